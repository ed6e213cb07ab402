import Linux
import Mediation

/// Has one thing after another be done with each vGPU, in the order of asking.
///
/// Whoever is cancelled keeps their place: those ahead take a bounded time, and what was asked for sees by itself, when
/// its turn has come, whether anybody still wants it.
public final class Turns: Sendable {
    /// Who waits; there is an entry while something is done.
    private let waiting = Locked<[InstanceID: [CheckedContinuation<Bool, Never>]]>([:])

    public init() {}

    /// Does something when nothing else is done with a vGPU. It must not take a turn of the same vGPU itself.
    public func take<Value, Failure: Error>(
        _ id: InstanceID, isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        _ = await begin(id, behind: .max)
        defer { end(id) }
        return try await body()
    }

    /// Does something when nothing else is done with any of several vGPUs, each of which is named once. Of those who
    /// ask for several there may be one at a time: two could wait for each other.
    func take<Value, Failure: Error>(
        all ids: [InstanceID], isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        for id in ids { _ = await begin(id, behind: .max) }
        defer { for id in ids { end(id) } }
        return try await body()
    }

    /// Does something when nothing else is done with a vGPU, unless so many wait for that already.
    ///
    /// - Throws: `refusal` then; and what `body` throws.
    func take<Value, Failure: Error>(
        _ id: InstanceID, behind most: Int, orThrow refusal: Failure, isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        guard await begin(id, behind: most) else { throw refusal }
        defer { end(id) }
        return try await body()
    }

    /// - Returns: whether it is the caller's turn: ``end(_:)`` must follow then.
    private func begin(
        _ id: InstanceID, behind most: Int, isolation: isolated (any Actor)? = #isolation
    ) async -> Bool {
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

    private func end(_ id: InstanceID) {
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
