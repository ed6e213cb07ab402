import Foundation
import Programs
import Testing

/// What no device's source says.
@Suite struct DeviceSourcesTests {
    @Test func noDeviceMakesFilesItself() throws {
        let folder = Repository.file("Sources/Devices")
        let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
        var count = 0
        for case let file as URL in files where file.pathExtension == "swift" {
            count += 1
            let text = try String(contentsOf: file, encoding: .utf8)
            #expect(!text.contains("MemoryFile("), "\(file.path)")
        }
        #expect(count > 20)
    }
}
