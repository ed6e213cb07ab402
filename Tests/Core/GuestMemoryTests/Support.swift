import CLinux
import Foundation
import GuestMemory
import Linux
import Testing

let page: UInt64 = 4096

/// A memfd of a test's own. Its size can change, unlike that of a `MemoryFile`.
final class GuestFile {
    let name: String
    let descriptor: Descriptor

    init(pages: Int, name: String = UUID().uuidString) throws {
        self.name = name
        descriptor = Descriptor(owning: clinux_memfd(name))
        try #require(descriptor.raw >= 0)
        try resize(UInt64(pages) * page)
    }

    func resize(_ size: UInt64) throws {
        try #require(ftruncate(descriptor.raw, off_t(size)) == 0)
    }

    func bytes(at offset: UInt64, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = pread(descriptor.raw, &bytes, count, off_t(offset))
        return Array(bytes.prefix(max(got, 0)))
    }

    func write(_ bytes: [UInt8], at offset: UInt64) {
        _ = pwrite(descriptor.raw, bytes, bytes.count, off_t(offset))
    }

    /// How many of this process's descriptors are this file.
    var descriptorCount: Int {
        let path = "/proc/self/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.count {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(path)/\($0)"))?.contains(name) == true
        }
    }

    /// How many of this process's mappings show this file.
    var mappingCount: Int {
        // Files in /proc have no size and come in pieces.
        let maps = Descriptor(owning: open("/proc/self/maps", O_RDONLY))
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while let got = try? piece.withUnsafeMutableBytes({ try maps.read(into: $0) }), got > 0 {
            text += piece[..<got]
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").count { $0.contains(name) }
    }
}

/// Guest memory by messages, as far as an address space can tell: bytes from an address on, and a list
/// of what was asked for.
final class FakeRemote: RemoteMemory {
    struct Request: Equatable {
        var address: UInt64
        var count: Int
    }

    let start: UInt64
    var bytes: [UInt8]
    var reads: [Request] = []
    var writes: [Request] = []
    var failure: DMAError?
    var whileWaiting: (() -> Void)?

    init(start: UInt64, pages: Int) {
        self.start = start
        bytes = [UInt8](repeating: 0, count: pages * Int(page))
    }

    func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
        let count = target.byteCount
        reads.append(Request(address: address, count: count))
        whileWaiting?()
        if let failure { throw failure }
        let offset = Int(address - start)
        let bytes = bytes
        target.copy(bytes.span.bytes.extracting(offset..<offset + count), to: 0)
    }

    func write(_ address: UInt64, from source: RawSpan) throws(DMAError) {
        let count = source.byteCount
        writes.append(Request(address: address, count: count))
        whileWaiting?()
        if let failure { throw failure }
        let offset = Int(address - start)
        source.withUnsafeBytes { bytes.replaceSubrange(offset..<offset + count, with: $0) }
    }
}

extension AddressSpace {
    func map(
        _ address: UInt64, pages: UInt64, of file: GuestFile, at offset: UInt64 = 0,
        _ access: DMAAccess = [.read, .write]
    )
        throws
    {
        let backing = Backing.file(try file.descriptor.duplicate(), offset: offset)
        try map(address: address, size: pages * page, access: access, backing: backing)
    }

    func map(_ address: UInt64, pages: UInt64, of remote: FakeRemote, _ access: DMAAccess = [.read, .write]) throws {
        try map(address: address, size: pages * page, access: access, backing: .remote(remote))
    }

    @discardableResult
    func unmap(_ address: UInt64, pages: UInt64) throws -> Unmapping {
        try unmap(address: address, size: pages * page, onRelease: {})
    }
}

extension MappedMemory {
    func bytes(at address: UInt64, count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try read(at: address, into: $0) }
        return bytes
    }

    func write(_ bytes: [UInt8], at address: UInt64) throws {
        try bytes.withUnsafeBytes { try write(at: address, from: $0) }
    }
}
