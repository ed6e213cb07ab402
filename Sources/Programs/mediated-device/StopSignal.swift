import Linux

/// Tells every function of the process that it is to end, whatever thread it has.
struct StopSignal: Sendable {
    /// One for each function, by its index: each thread takes its own.
    let bells: [EventFD]

    init(functions: Int) throws(Errno) {
        bells = try (0..<functions).map { _ throws(Errno) in try EventFD() }
    }

    /// Callable from any thread, and often.
    func send() {
        for bell in bells { bell.signal() }
    }
}
