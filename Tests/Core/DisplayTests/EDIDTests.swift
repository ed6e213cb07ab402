import Foundation
import Testing

@testable import Display

@Suite struct EDIDTests {
    private static let resolutions = [
        (640, 480), (800, 600), (1024, 768), (1280, 720), (1280, 800), (1280, 1024), (1366, 768), (1440, 900),
        (1600, 1200), (1680, 1050), (1920, 1080), (1920, 1200), (2560, 1440), (3440, 1440), (3840, 2160),
        (4095, 2160), (4096, 2160), (4096, 4096), (5120, 1440), (641, 481), (1080, 1920), (480 * 2, 8192), (8192, 8192),
    ]
    private static let refreshes = [30, 50, 60, 75, 120, 144, 240]

    @Test(arguments: resolutions, refreshes)
    func everyBlockSumsUpToZero(resolution: (Int, Int), refresh: Int) {
        let bytes = EDID(width: resolution.0, height: resolution.1, refresh: refresh).bytes
        #expect(bytes.count == 128 || bytes.count == 256)
        #expect(bytes.count == 128 * (1 + Int(bytes[126])))
        for block in stride(from: 0, to: bytes.count, by: 128) {
            #expect(bytes[block..<block + 128].reduce(0, &+) == 0)
        }
    }

    @Test func theFirstDetailedTimingIsThePreferredMode() {
        let bytes = EDID(width: 1366, height: 768, refresh: 60).bytes
        let timing = bytes[54..<72].map(Int.init)
        #expect(timing[2] | (timing[4] & 0xf0) << 4 == 1366)
        #expect(timing[5] | (timing[7] & 0xf0) << 4 == 768)
    }

    @Test func aModeBeyondTheBaseBlockIsToldInTheExtension() {
        let bytes = EDID(width: 4096, height: 2160, refresh: 60).bytes
        #expect(bytes.count == 256)
        #expect(bytes[128] == 0x70)
        #expect(bytes[133] == 0, "product identification")
        #expect(bytes[176] == 3, "a timing of type I")
        let timing = bytes[179..<199].map(Int.init)
        #expect(timing[3] & 0x80 != 0, "preferred")
        #expect(timing[4] | timing[5] << 8 == 4095)
        #expect(timing[12] | timing[13] << 8 == 2159)
    }

    @Test func noModeIsLargerThanThePreferred() {
        let bytes = EDID(width: 1280, height: 720, refresh: 60).bytes
        #expect(bytes[35] == 1 << 5 | 1 << 0, "640x480 and 800x600")
        #expect(bytes[36] == 0, "no 1024x768")
        #expect(bytes[38..<40] == [129, 0xc0])
        #expect(bytes[40..<54].allSatisfy { $0 == 1 })
    }

    /// Figures that the CVT standard's own spreadsheet gives.
    @Test(
        arguments: [
            (1920, 1080, 60, 13850, 31, 5), (1024, 768, 60, 5600, 22, 4), (2560, 1600, 60, 26850, 46, 6),
            (1280, 800, 60, 7100, 23, 6), (1920, 1200, 60, 15400, 35, 6),
        ])
    func timingsAreThoseOfTheStandard(
        width: Int, height: Int, refresh: Int, clock: Int, verticalBlank: Int, verticalSync: Int
    ) {
        let timing = CVTTiming(width: width, height: height, refresh: refresh)
        #expect(timing.pixelClock == clock)
        #expect(timing.verticalBlank == verticalBlank)
        #expect(timing.verticalSync == verticalSync)
    }

    private static let decoder = "/usr/bin/edid-decode"

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: decoder)), arguments: resolutions, refreshes)
    func edidDecodeFindsNothingWrong(resolution: (Int, Int), refresh: Int) throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "edid-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(EDID(width: resolution.0, height: resolution.1, refresh: refresh).bytes).write(to: file)
        let process = Process()
        process.executableURL = URL(filePath: Self.decoder)
        process.arguments = ["--check", file.path()]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let report = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(report.contains("conformity: PASS"), "\(report)")
    }
}
