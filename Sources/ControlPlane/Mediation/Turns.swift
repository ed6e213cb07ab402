import Linux

/// Has one thing after another be done with each vGPU, in the order of asking.
public final class Turns: Sendable {
    /// Who waits; there is an entry while something is done.
    private let waiting = Locked<[InstanceID: [CheckedContinuation<Bool, Never>]]>([:])

    public init() {}

    /// Waits until nothing else is done with a vGPU. ``end(_:)`` must follow.
    public func begin(_ id: InstanceID) async {
        _ = await begin(id, behind: .max)
    }

    /// Waits until nothing else is done with a vGPU, unless so many do already.
    ///
    /// - Returns: whether it is the caller's turn: ``end(_:)`` must follow then.
    func begin(_ id: InstanceID, behind most: Int) async -> Bool {
        await withCheckedContinuation { continuation in
            let now: Bool? = waiting.withLock { waiting in
                guard let others = waiting[id] else {
                    waiting[id] = []
                    return true
                }
                guard others.count < most else { return false }
                waiting[id] = others + [continuation]
                return nil
            }
            if let now { continuation.resume(returning: now) }
        }
    }

    public func end(_ id: InstanceID) {
        let next = waiting.withLock { waiting -> CheckedContinuation<Bool, Never>? in
            guard waiting[id]?.isEmpty == false else {
                waiting[id] = nil
                return nil
            }
            return waiting[id]?.removeFirst()
        }
        next?.resume(returning: true)
    }
}
