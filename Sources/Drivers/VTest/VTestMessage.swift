import VirtioGPUDriver

/// What a program says in *vtest*, the protocol by which Mesa's virgl driver reaches a renderer over a UNIX socket:
/// a length and a number, each a word of 32 bits, then what follows by the number. virglrenderer's `vtest_protocol.h`
enum VTestMessage: Equatable {
    case createRenderer(name: [UInt8])
    case getCapabilities
    case getCapabilities2
    case ping
    case version(UInt32)
    case parameter(UInt32)
    case capabilitySet(id: UInt32, version: UInt32)
    case initializeContext(capabilitySet: UInt32)
    /// - Parameter size: of the memory that the program maps, in bytes; 0: none.
    case createResource(handle: UInt32, GPUCommand.ResourceParameters, size: UInt32)
    case unreference(handle: UInt32)
    /// From the resource to the program's memory; by socket where there is a size.
    case get(Transfer, size: UInt32?)
    /// From the program's memory to the resource; by socket, behind this, where there is a size.
    case put(Transfer, size: UInt32?)
    case submit([UInt8])
    case busyWait(waits: Bool)
    /// Of no program: whether the server stays without any.
    case stay(Bool)

    struct Transfer: Equatable {
        var handle: UInt32
        var level: UInt32
        var stride: UInt32 = 0
        var layerStride: UInt32 = 0
        var box: GPUCommand.Box
        var offset: UInt32 = 0
    }

    /// The newest version that is spoken here: memory is shared, and resources' numbers are the program's.
    static let newestVersion: UInt32 = 2
    static let headerSize = 8
    /// A program's name has fewer letters.
    private static let maximumName = 4096

    /// What is wrong with a message, so that what follows it can't be told.
    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    /// How many bytes follow the header.
    ///
    /// - Parameter length: the header's, which only names and streams have right.
    static func payloadSize(_ number: UInt32, length: UInt32) throws(Malformed) -> Int {
        switch VTestNumber(rawValue: number) {
        case .createRenderer:
            guard length <= maximumName else { throw Malformed(description: "a name of \(length) bytes") }
            return Int(length)
        case .submit:
            guard length <= GPUCommand.maximumStream / 4 else {
                throw Malformed(description: "\(length) words to draw")
            }
            return 4 * Int(length)
        case .getCapabilities, .getCapabilities2, .ping: return 0
        case .version, .unreference, .parameter, .initializeContext, .stay: return 4
        case .busyWait, .capabilitySet: return 8
        case .createResource, .get2, .put2: return 40
        case .createResource2, .get, .put: return 44
        case nil: throw Malformed(description: "message \(number), which is unknown")
        }
    }

    /// - Parameter payload: as long as ``payloadSize(_:length:)`` says.
    init(_ number: UInt32, _ payload: ArraySlice<UInt8>) throws(Malformed) {
        guard let number = VTestNumber(rawValue: number) else { throw Malformed(description: "message \(number)") }
        let words = Words(payload)
        switch number {
        case .createRenderer: self = .createRenderer(name: Array(payload.prefix { $0 != 0 }))
        case .getCapabilities: self = .getCapabilities
        case .getCapabilities2: self = .getCapabilities2
        case .ping: self = .ping
        case .version: self = .version(words[0])
        case .parameter: self = .parameter(words[0])
        case .capabilitySet: self = .capabilitySet(id: words[0], version: words[1])
        case .initializeContext: self = .initializeContext(capabilitySet: words[0])
        case .createResource: self = .createResource(handle: words[0], words.parameters, size: 0)
        case .createResource2: self = .createResource(handle: words[0], words.parameters, size: words[10])
        case .unreference: self = .unreference(handle: words[0])
        case .get: self = .get(words.transfer, size: words[10])
        case .put: self = .put(words.transfer, size: words[10])
        case .get2: self = .get(words.transfer2, size: nil)
        case .put2: self = .put(words.transfer2, size: nil)
        case .submit: self = .submit(Array(payload))
        case .busyWait: self = .busyWait(waits: words[1] & 1 != 0)
        case .stay: self = .stay(words[0] != 0)
        }
    }

    /// How many bytes of a stream there are.
    var streamSize: Int {
        if case .submit(let stream) = self { stream.count } else { 0 }
    }
}

/// Numbers of 32 bits; 0 where there are no more.
private struct Words {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    subscript(_ index: Int) -> UInt32 { bytes.word(at: 4 * index) }

    var parameters: GPUCommand.ResourceParameters {
        .init(
            target: self[1], format: self[2], bind: self[3], width: self[4], height: self[5], depth: self[6],
            arraySize: self[7], lastLevel: self[8], samples: self[9])
    }

    /// VCMD_TRANSFER_…
    var transfer: VTestMessage.Transfer {
        .init(handle: self[0], level: self[1], stride: self[2], layerStride: self[3], box: box(from: 4))
    }

    /// VCMD_TRANSFER2_…
    var transfer2: VTestMessage.Transfer {
        .init(handle: self[0], level: self[1], box: box(from: 2), offset: self[9])
    }

    private func box(from index: Int) -> GPUCommand.Box {
        .init(
            x: self[index], y: self[index + 1], z: self[index + 2], width: self[index + 3], height: self[index + 4],
            depth: self[index + 5])
    }
}

extension ArraySlice<UInt8> {
    /// A little-endian number, so many bytes from the beginning on; 0 where the bytes end before it does.
    func word(at offset: Int) -> UInt32 {
        guard offset <= count - 4 else { return 0 }
        let start = startIndex + offset
        return (0..<4).reduce(0) { $0 | UInt32(self[start + $1]) << UInt32(8 * $1) }
    }
}
