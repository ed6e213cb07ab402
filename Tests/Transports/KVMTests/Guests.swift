import Device
import DeviceCatalog
import FakeGuest
import Foundation
import KVM
import Testing
import VFIOUserClient

/// Machines that run the programs in Guests/.
enum Guests {
    /// What an assembler or linker said.
    struct BuildError: Error, CustomStringConvertible {
        let description: String
    }

    /// Assembles a program and links it to where machines load it.
    static func image(_ name: String) throws -> [UInt8] {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Guests")
        let folder = FileManager.default.temporaryDirectory.appending(path: "guest-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (object, image) = (folder.appending(path: "guest.o").path, folder.appending(path: "guest").path)
        try run("as", "--32", "-I", sources.path, "-o", object, sources.appending(path: "\(name).s").path)
        try run("ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x1000", "-o", image, object)
        return [UInt8](try Data(contentsOf: URL(filePath: image)))
    }

    private static func run(_ program: String, _ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/\(program)")
        process.arguments = arguments
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw BuildError(description: "\(program): \(text)") }
    }

    /// Half a megabyte of memory.
    static let memorySize = 512 << 10
    /// Longer than any of them takes.
    static let patience = Duration.seconds(20)

    /// Runs a program in a machine with an exerciser in slot 1, by the way that is given.
    ///
    /// - Returns: the machine after its end, and the status that the program gave.
    static func run(_ name: String, _ way: Way) throws -> (Machine, UInt8?) {
        let machine = try Machine(memorySize: memorySize)
        let served = try machine.attachExerciser(way)
        defer { withExtendedLifetime(served) {} }
        try machine.load(image(name))
        return (machine, try machine.run(within: patience))
    }
}

/// How a device gets into a machine.
enum Way: CaseIterable {
    /// By a socket, from a server.
    case socket
    /// With no server, in the machine's own process.
    case process
}

extension Machine {
    /// Puts an exerciser into slot 1.
    ///
    /// - Returns: what serves it, as long as it is needed.
    func attachExerciser(_ way: Way) throws -> ServedDevice? {
        switch way {
        case .socket:
            let device = try ServedDevice("exerciser")
            try attach(Client(path: device.path), slot: 1)
            return device
        case .process:
            try attach(slot: 1) { host in
                try Function(DeviceCatalog.make("exerciser", options: [], host: host), host: host)
            }
            return nil
        }
    }
}

extension Machine {
    /// A number of the guest's memory.
    func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self, at address: Int) -> Value {
        var bytes = [UInt8](repeating: 0, count: MemoryLayout<Value>.size)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: address, count: MemoryLayout<Value>.size, into: &raw)
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }
}
