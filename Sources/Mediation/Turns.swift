import Synchronization

/// Has one thing after another be done with each vGPU, in the order of asking.
public final class Turns: Sendable {
    /// Who waits; there is an entry while something is done.
    private let waiting = Mutex<[InstanceID: [CheckedContinuation<Void, Never>]]>([:])

    public init() {}

    /// Waits until nothing else is done with a vGPU. ``end(_:)`` must follow.
    public func begin(_ id: InstanceID) async {
        await withCheckedContinuation { continuation in
            let isFree = waiting.withLock { waiting in
                let isFree = waiting[id] == nil
                waiting[id, default: []] += isFree ? [] : [continuation]
                return isFree
            }
            if isFree { continuation.resume() }
        }
    }

    public func end(_ id: InstanceID) {
        let next = waiting.withLock { waiting -> CheckedContinuation<Void, Never>? in
            guard waiting[id]?.isEmpty == false else {
                waiting[id] = nil
                return nil
            }
            return waiting[id]?.removeFirst()
        }
        next?.resume()
    }
}
