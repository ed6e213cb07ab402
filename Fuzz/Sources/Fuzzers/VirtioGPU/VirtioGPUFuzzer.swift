import FakeDriver
import FuzzSupport

/// What a guest's driver sends to a virtio-gpu with everything.
final class VirtioGPUFuzzer: FuzzTarget {
    /// One machine until its renderer is made to end, as it takes a process to make one.
    private var machine: Machine?
    private(set) var reach = Reach(Feature.all)

    enum Feature: Hashable, CustomStringConvertible {
        case done(GPUCommand)
        case refused(GPUCommand)
        case answered(Ring)
        case saved, pictureSeen, monitorChanged, quotaChanged, rendererDied

        /// For blobs in the host's memory, which the device doesn't have.
        private static let alwaysRefused: Set<GPUCommand> = [.resourceMapBlob, .resourceUnmapBlob]

        static let all =
            GPUCommand.allCases.filter { !alwaysRefused.contains($0) }.map(Feature.done)
            + GPUCommand.allCases.map(Feature.refused)
            + Ring.all.map(Feature.answered)
            + [.saved, .pictureSeen, .monitorChanged, .quotaChanged, .rendererDied]

        var description: String {
            switch self {
            case .done(let command): "\(command) carried out"
            case .refused(let command): "\(command) refused"
            case .answered(let ring): "\(ring)"
            case .saved: "saved and restored"
            case .pictureSeen: "picture looked at"
            case .monitorChanged: "monitor changed"
            case .quotaChanged: "quota changed"
            case .rendererDied: "renderer died"
            }
        }
    }

    /// The shapes of a ring, and of what is in it.
    struct Ring: Hashable, CustomStringConvertible {
        var isPacked: Bool
        var hasEventIndex: Bool
        var isIndirect: Bool

        static let all = (0..<8).map {
            Ring(isPacked: $0 & 1 != 0, hasEventIndex: $0 & 2 != 0, isIndirect: $0 & 4 != 0)
        }

        var description: String {
            "\(isPacked ? "packed" : "split") ring, \(hasEventIndex ? "event index" : "flags"), "
                + "\(isIndirect ? "indirect" : "direct") descriptors"
        }
    }

    init() throws {
        machine = try Machine()
    }

    func run(_ input: inout Input) throws {
        let guest = try machine ?? Machine()
        try guest.run(&input, &reach)
        machine = guest.isSpent ? nil : guest
    }
}
