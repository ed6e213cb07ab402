import Linux

/// Finds what changed in a picture whose owner writes without a word: it keeps a copy of the visible pixels
/// and compares.
///
/// The copy takes the size of the picture, from the first look until ``forget()``. A look reads every visible
/// pixel once and writes only what changed. Where in memory the picture lies may differ from look to look:
/// flipping between two buffers that show nearly the same is little damage.
///
/// Where somebody notes which pages were written (``WriteLog``), lines that lie in none of those aren't read.
struct DamageTracker {
    /// Pixels of one tile: rectangles begin and end at multiples of these, or at the picture's edge.
    static let tileWidth = 64
    static let tileHeight = 16

    /// What the last look saw. Nil before the first, when there was no picture, and when there is no
    /// memory for a copy.
    private(set) var snapshot: Scanout?
    /// What the last look saw it in.
    private var source: Scanout?

    /// Compares `scanout` with what was there the last time.
    ///
    /// - Returns: the parts that changed, none overlapping another, at most ``DamageWatch/maximumRectangles``. Nil when
    ///   there is nothing to compare with: at first, when size, format or palette changed, without a picture, or
    ///   without memory for a copy.
    mutating func look(at scanout: Scanout?) -> [Rectangle]? {
        guard let scanout else {
            forget()
            return nil
        }
        let isWhereItWas = source?.hasSamePlace(as: scanout) ?? false
        if !isWhereItWas { source?.memory.writes?.stop() }
        source = scanout
        // Asked before anything is read: what is written meanwhile is found the next time.
        let written = isWhereItWas ? scanout.memory.writes?.takeWritten(scanout.bytes) : nil
        if let snapshot, snapshot.hasSameShape(as: scanout) {
            return Self.merge(update(snapshot, from: scanout, written), height: scanout.height)
        }
        snapshot = scanout.copied()
        return nil
    }

    /// Frees the copy; the next look has nothing to compare with.
    mutating func forget() {
        snapshot = nil
        source?.memory.writes?.stop()
        source = nil
    }

    // MARK: Comparing

    /// Brings the copy up to date.
    ///
    /// - Parameter written: the pages that may have changed; nil: any may.
    /// - Returns: for each band of tiles, the runs that changed, in pixels.
    private func update(_ copy: Scanout, from scanout: Scanout, _ written: WrittenPages?) -> [[Range<Int>]] {
        stride(from: 0, to: scanout.height, by: Self.tileHeight).map { top in
            let lines = top..<min(top + Self.tileHeight, scanout.height)
            return Self.runs(of: updateBand(lines, of: copy, from: scanout, written), width: scanout.width)
        }
    }

    /// - Returns: for each tile, whether it changed; empty when none did.
    private func updateBand(
        _ lines: Range<Int>, of copy: Scanout, from scanout: Scanout, _ written: WrittenPages?
    ) -> [Bool] {
        let tileBytes = Self.tileWidth * scanout.format.bytesPerPixel
        let lineBytes = scanout.width * scanout.format.bytesPerPixel
        var changed: [Bool] = []
        for y in lines {
            let old = copy.offset + y * copy.stride
            let new = scanout.offset + y * scanout.stride
            if let written, !written.touches(new..<new + lineBytes) { continue }
            if copy.memory.equals(at: old, scanout.memory, at: new, count: lineBytes) { continue }
            if changed.isEmpty {
                changed = Array(repeating: false, count: (scanout.width + Self.tileWidth - 1) / Self.tileWidth)
            }
            for tile in changed.indices {
                let start = tile * tileBytes
                let count = min(tileBytes, lineBytes - start)
                if copy.memory.equals(at: old + start, scanout.memory, at: new + start, count: count) { continue }
                copy.memory.replace(at: old + start, with: scanout.memory, at: new + start, count: count)
                changed[tile] = true
            }
        }
        return changed
    }

    // MARK: Merging

    private static func runs(of changed: [Bool], width: Int) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for tile in changed.indices where changed[tile] {
            let pixels = tile * tileWidth..<min((tile + 1) * tileWidth, width)
            if let last = runs.last, last.upperBound == pixels.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<pixels.upperBound
            } else {
                runs.append(pixels)
            }
        }
        return runs
    }

    /// Joins equal runs of adjacent bands; joins more roughly when that leaves too many.
    private static func merge(_ bands: [[Range<Int>]], height: Int) -> [Rectangle] {
        var finished: [Rectangle] = []
        var open: [Rectangle] = []
        for (band, runs) in bands.enumerated() {
            let top = band * tileHeight
            let next = runs.map { run in
                var rectangle = Rectangle(
                    x: run.lowerBound, y: top, width: run.count, height: min(tileHeight, height - top))
                if let above = open.firstIndex(where: { $0.x == rectangle.x && $0.width == rectangle.width }) {
                    rectangle.y = open[above].y
                    rectangle.height += open.remove(at: above).height
                }
                return rectangle
            }
            finished += open
            open = next
        }
        finished += open
        return finished.count <= DamageWatch.maximumRectangles ? finished : mergeRoughly(bands, height: height)
    }

    /// Cuts the picture into as many strips as there may be rectangles, and bounds the changes in each.
    private static func mergeRoughly(_ bands: [[Range<Int>]], height: Int) -> [Rectangle] {
        let bandsPerStrip = (bands.count + DamageWatch.maximumRectangles - 1) / DamageWatch.maximumRectangles
        return stride(from: 0, to: bands.count, by: bandsPerStrip).compactMap { first in
            let changed = (first..<min(first + bandsPerStrip, bands.count)).filter { !bands[$0].isEmpty }
            guard let top = changed.first, let bottom = changed.last else { return nil }
            let left = changed.compactMap { bands[$0].first?.lowerBound }.min() ?? 0
            let right = changed.compactMap { bands[$0].last?.upperBound }.max() ?? 0
            let y = top * tileHeight
            return Rectangle(x: left, y: y, width: right - left, height: min((bottom + 1) * tileHeight, height) - y)
        }
    }
}

extension Scanout {
    /// The bytes from the first pixel to the last.
    fileprivate var bytes: Range<Int> {
        offset..<max(offset, offset + (height - 1) * stride + width * format.bytesPerPixel)
    }

    /// Whether both have their pixels in the same bytes.
    fileprivate func hasSamePlace(as other: Scanout) -> Bool {
        memory === other.memory && bytes == other.bytes
    }

    /// Whether pixels of both can be compared byte by byte, and equal bytes are equal colours.
    fileprivate func hasSameShape(as other: Scanout) -> Bool {
        width == other.width && height == other.height && format == other.format && palette == other.palette
    }

    /// A copy of the visible pixels in memory of its own, line after line.
    ///
    /// - Returns: nil when there is no memory.
    fileprivate func copied() -> Scanout? {
        let lineBytes = width * format.bytesPerPixel
        guard let memory = try? MemoryFile(name: "snapshot", size: lineBytes * height) else { return nil }
        for y in 0..<height {
            memory.replace(at: y * lineBytes, with: self.memory, at: offset + y * stride, count: lineBytes)
        }
        return Scanout(
            width: width, height: height, stride: lineBytes, format: format, memory: memory, offset: 0,
            palette: palette)
    }
}
