import Linux

/// Runs what waits for another process on a thread of its own: the few that all tasks share go on whatever that process does.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do throws(Errno) {
            _ = try Thread(name: "question") { continuation.resume(with: Result(catching: body)) }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}
