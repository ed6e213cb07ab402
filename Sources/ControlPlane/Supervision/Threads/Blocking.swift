import Linux

/// Runs what waits for another process on a thread of its own: the few that all tasks share go on whatever that process
/// does.
///
/// - Throws: what `body` throws; `Errno` when no thread can be had.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do throws(Errno) {
            _ = try Thread(name: "blocking") { continuation.resume(with: Result(catching: body)) }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}

/// Runs what waits for the kernel or the disk on a thread of its own; here, where no thread can be had, for it must be
/// done.
func inAnyCase<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        do throws(Errno) {
            _ = try Thread(name: "blocking") { continuation.resume(returning: body()) }
        } catch {
            continuation.resume(returning: body())
        }
    }
}
