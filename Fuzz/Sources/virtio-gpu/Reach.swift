import FakeDriver
import Linux

/// Which commands the fuzzer has reached, over which rings, and what became of them: told when it ends.
struct Reach {
    private var done: [String: Int] = [:]
    private var refused: [String: Int] = [:]

    /// For blobs in the host's memory, which the device doesn't have.
    private static let alwaysRefused: Set<GPUCommand> = [.resourceMapBlob, .resourceUnmapBlob]
    private static let rings = [false, true].flatMap { isPacked in
        [false, true].flatMap { hasEventIndex in
            [false, true].map { name(isPacked: isPacked, hasEventIndex: hasEventIndex, isIndirect: $0) }
        }
    }

    static func name(isPacked: Bool, hasEventIndex: Bool, isIndirect: Bool) -> String {
        "\(isPacked ? "packed" : "split") ring, \(hasEventIndex ? "event index" : "flags"), "
            + "\(isIndirect ? "indirect" : "direct") descriptors"
    }

    /// - Parameter type: the response's.
    mutating func note(_ command: GPUCommand, ring: String, answeredBy type: UInt32) {
        for name in ["\(command)", ring] {
            if type < 0x1200 { done[name, default: 0] += 1 } else { refused[name, default: 0] += 1 }
        }
    }

    /// - Returns: whether each command was carried out, and over each kind of ring.
    func tell() -> Bool {
        var isWhole = true
        let names =
            GPUCommand.allCases.map { ("\($0)", Self.alwaysRefused.contains($0)) } + Self.rings.map { ($0, false) }
        for (name, isRefused) in names {
            let (done, refused) = (done[name] ?? 0, refused[name] ?? 0)
            let isReached = isRefused ? refused > 0 : done > 0
            StandardError.print(
                "reach: \(name): \(done) carried out, \(refused) refused\(isReached ? "" : ": NOT REACHED")")
            if !isReached { isWhole = false }
        }
        return isWhole
    }
}
