import Foundation
import Programs

/// Files for a guest that come with its initial file system: an archive that the kernel unpacks over the lab's own.
/// Linux Documentation/driver-api/early-userspace/buffer-format.rst
public struct GuestFiles {
    private var archive = Data()
    private var folders: Set<String> = []

    public init() {}

    /// Adds a program of this build with all that it is linked with, at the places where these lie here.
    public mutating func add(program: URL) throws {
        try add(file: program.path, at: program.path)
        let said = try Program.run(URL(fileURLWithPath: "/usr/bin/ldd"), [program.path]).output
        for word in said.split(whereSeparator: { $0.isWhitespace }) where word.hasPrefix("/") {
            try add(file: String(word), at: String(word))
        }
    }

    /// Adds a file, unless there is one at that place.
    public mutating func add(file: String, at path: String) throws {
        guard folders.insert(path).inserted else { return }
        let mode = UInt32(FileManager.default.isExecutableFile(atPath: file) ? 0o100755 : 0o100644)
        addFolders(above: path)
        add(path, mode, try Data(contentsOf: URL(fileURLWithPath: file)))
    }

    /// Adds all files of a folder.
    public mutating func add(folder: String, at path: String) throws {
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder)
            if !isFolder.boolValue { try add(file: folder + "/" + name, at: path + "/" + name) }
        }
    }

    private mutating func addFolders(above path: String) {
        let parent = (path as NSString).deletingLastPathComponent
        guard parent != "/", folders.insert(parent).inserted else { return }
        addFolders(above: parent)
        add(parent, 0o040755, Data())
    }

    /// One entry, in the format that cpio(1) calls newc.
    private mutating func add(_ path: String, _ mode: UInt32, _ contents: Data) {
        let name = String(path.drop { $0 == "/" })
        let fields = [0, mode, 0, 0, 1, 0, UInt32(contents.count), 0, 0, 0, 0, UInt32(name.utf8.count + 1), 0]
        archive += Data(("070701" + fields.map { String(format: "%08X", $0) }.joined() + name + "\0").utf8)
        pad()
        archive += contents
        pad()
    }

    private mutating func pad() {
        archive += Data(count: -archive.count & 3)
    }

    /// Writes the lab's initial file system with these files behind it.
    public func write(after initial: String, to path: String) throws {
        var all = self
        all.add("TRAILER!!!", 0, Data())
        var image = try Data(contentsOf: URL(fileURLWithPath: initial))
        image += Data(count: -image.count & 511) + all.archive
        try image.write(to: URL(fileURLWithPath: path))
    }
}
