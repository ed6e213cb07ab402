import Foundation
import Programs
import Recording
import Replay
import Testing

/// What real drivers have done lives again on today's devices: `make recordings` has recorded it in the lab's guests.
@Suite struct DriverRecordingTests {
    private static let folder = Repository.file("Tests/Tools/ReplayTests/Recordings")

    private static let names: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
        .filter { $0.hasSuffix(".pcapng.zst") }.sorted()

    @Test func thereAreSome() throws {
        #expect(!Self.names.isEmpty)
        let sizes = try Self.names.map { name in
            try FileManager.default.attributesOfItem(atPath: Self.folder.appendingPathComponent(name).path)[.size]
        }
        #expect(sizes.compactMap { $0 as? Int }.reduce(0, +) <= 3 << 20)
    }

    @Test(arguments: names) func everyOneLivesAgainAndTwiceTheSame(name: String) throws {
        let scratch = try Scratch()
        let path = scratch.path("recording.pcapng")
        let packed = Self.folder.appendingPathComponent(name).path
        let unpacked = try Program.run(URL(fileURLWithPath: "/usr/bin/zstd"), ["-q", "-d", packed, "-o", path])
        try #require(unpacked.status == 0, "\(unpacked.errors)")
        func replay() throws -> ReplayOutcome {
            let reader = try RecordingReader(path: path)
            return try Replay { try reader.next() }.run()
        }
        let outcome = try replay()
        #expect(outcome.divergence == nil, "\(String(describing: outcome.divergence))")
        #expect(outcome.isComplete && outcome.gaps == 0 && outcome.passages > 100)
        // Serial cards and sources of random numbers show nothing, nor does what is unplugged.
        let isDisplay = ["drm", "gpu", "display"].contains { name.contains($0) }
        #expect(outcome.pictures == (isDisplay ? 1 : 0))
        #expect(try replay().fingerprint == outcome.fingerprint)
    }
}
