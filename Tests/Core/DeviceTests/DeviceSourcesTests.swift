import Foundation
import Programs
import Testing

/// What no source says of a device, or of what devices stand on.
@Suite struct DeviceSourcesTests {
    @Test func noDeviceMakesFilesItself() throws {
        for (path, text) in try sources(below: "Sources/Devices") { #expect(!text.contains("MemoryFile("), "\(path)") }
    }

    /// One code for all hypervisors: a branch for one of them would have to name it.
    @Test(arguments: ["Sources/Devices", "Sources/Core"])
    func noCodeNamesAHypervisor(folder: String) throws {
        let names = /(?i)xen|kvm|qemu|ioreq|libvirt|vmware|hyper-?v(?!isor)|virtualbox|bhyve|firecracker|crosvm/
        for (path, text) in try sources(below: folder) {
            for line in text.split(separator: "\n") {
                let code = line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
                #expect(code.firstMatch(of: names) == nil, "\(path): \(line)")
            }
        }
    }

    /// All of a folder, by path.
    private func sources(below folder: String) throws -> [(path: String, text: String)] {
        let files = FileManager.default.enumerator(at: Repository.file(folder), includingPropertiesForKeys: nil)
        var found: [(path: String, text: String)] = []
        for case let file as URL in try #require(files) where file.pathExtension == "swift" {
            found.append((file.path, try String(contentsOf: file, encoding: .utf8)))
        }
        try #require(found.count > 20)
        return found
    }
}
