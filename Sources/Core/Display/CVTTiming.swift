/// A mode's timing with reduced blanking, version 1. VESA Coordinated Video Timings Standard 1.2,
/// section 5.4.
struct CVTTiming: Equatable {
    /// Visible pixels and lines.
    let width: Int
    let height: Int
    /// In units of 10 kHz; a multiple of 250 kHz.
    let pixelClock: Int
    /// Pixels of a line, or lines of a frame, that are not visible.
    let horizontalBlank = 160
    let verticalBlank: Int
    let horizontalFrontPorch = 48
    let verticalFrontPorch = 3
    let horizontalSync = 32
    /// Tells the aspect ratio, as the standard wants it.
    let verticalSync: Int

    /// - Parameters:
    ///   - width: in pixels, not rounded to the standard's cells of 8 pixels, so that modes such as 1366x768 exist.
    ///   - refresh: in frames per second, 1 to 2000.
    init(width: Int, height: Int, refresh: Int) {
        self.width = width
        self.height = height
        verticalSync = Self.verticalSync(width: width, height: height)
        // What a frame leaves of a second for blanking: at least 460 microseconds.
        let blankingMicroseconds = 460
        let visibleMicroseconds = 1_000_000 - blankingMicroseconds * refresh
        let blankLines = blankingMicroseconds * height * refresh / visibleMicroseconds + 1
        let minimumBackPorch = 6
        verticalBlank = max(blankLines, verticalFrontPorch + verticalSync + minimumBackPorch)
        let hertz = (width + horizontalBlank) * (height + verticalBlank) * refresh
        pixelClock = hertz / 250_000 * 25
    }

    /// Lines per second, in kHz, rounded up.
    var horizontalKilohertz: Int {
        let total = (width + horizontalBlank) * 100
        return (pixelClock * 1000 + total - 1) / total
    }

    private static func verticalSync(width: Int, height: Int) -> Int {
        let lines: [(ratio: (Int, Int), sync: Int)] = [
            ((4, 3), 4), ((16, 9), 5), ((16, 10), 6), ((5, 4), 7), ((15, 9), 7),
        ]
        // The standard compares widths in whole cells.
        let cell = 8
        return lines.first { height * $0.ratio.0 / $0.ratio.1 / cell == width / cell }?.sync ?? 10
    }
}
