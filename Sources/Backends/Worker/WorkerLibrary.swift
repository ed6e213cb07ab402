/// What a worker waits for besides commands.
public enum WorkerWait {
    case commands
    /// Answers that may be due when the descriptor is readable.
    case descriptor(Int32)
    /// Answers that must be asked for again and again.
    case period(Duration)
}

/// A library that does, in a process of its own, what a device asks for. It may crash or hang at any moment.
public protocol WorkerLibrary {
    associatedtype Command: WorkerMessage
    associatedtype Reply: WorkerMessage

    /// Whether it asks for the files that windows lie in, each of which takes a descriptor: false unless it says so.
    var usesFiles: Bool { get }

    /// Carries out a command.
    ///
    /// - Parameters:
    ///   - sequence: what ``nextAnswer()`` calls the command.
    ///   - windows: the memory that the command may name.
    /// - Returns: the answer; nil: ``nextAnswer()`` has it when it is due.
    mutating func carryOut(_ command: Command, _ sequence: UInt64, _ windows: WorkerWindows) -> Reply?

    /// Uses nothing any more of what lies in a window, which is unmapped next.
    mutating func forget(window: UInt32)

    /// The next answer of those that ``carryOut(_:_:_:)`` has left for later; nil while none is due.
    mutating func nextAnswer() -> (sequence: UInt64, reply: Reply)?

    /// Nothing is left to do. Called before the worker sleeps.
    ///
    /// - Returns: what it is to wait for.
    mutating func prepareToSleep() -> WorkerWait
}

extension WorkerLibrary {
    public var usesFiles: Bool { false }

    /// Works until the device process closes its end.
    public mutating func serve(_ endpoint: inout WorkerEndpoint<Command, Reply>) throws(WorkerEnd) {
        endpoint.windows.keepsFiles = usesFiles
        repeat {
            while let (sequence, request) = try endpoint.next() {
                switch request {
                case .command(let command):
                    guard let reply = carryOut(command, sequence, endpoint.windows) else { continue }
                    try endpoint.answer(sequence, reply)
                case .unmap(let window):
                    forget(window: window)
                    try endpoint.finishUnmap(of: window, sequence)
                }
            }
            while let (sequence, reply) = nextAnswer() { try endpoint.answer(sequence, reply) }
        } while try endpoint.wait(for: prepareToSleep())
    }
}
