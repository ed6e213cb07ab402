import Linux
import SharedRing

/// What a worker is asked, and what it answers.
extension WorkerProcess {
    /// Has the worker do something, behind all that it was asked before.
    ///
    /// - Parameter completion: called later, with nil when there is no worker.
    public func send(_ command: Command, completion: @escaping Completion = { _ in }) {
        send(.command(command), .command(completion))
    }

    private func send(_ request: Request, _ answer: Answer) {
        guard session != nil || leaving != nil else { return answer.tellEnd() }
        let sequence = nextSequence
        nextSequence += 1
        let isPatient = request.isPatient
        if !isPatient {
            if dueCount == 0, session != nil { watchdog.start() }
            dueCount += 1
        }
        pending.append(
            Pending(sequence: sequence, answer: answer, title: request.title, isPatient: isPatient))
        guard session != nil else { return }
        backlog.append((sequence, request))
        flush()
    }

    /// Shares memory with the worker.
    ///
    /// - Parameters:
    ///   - file: stays open until this returns.
    ///   - offset: a multiple of the page size.
    /// - Returns: what ``MemoryPiece``s call it.
    /// - Throws: what keeps the worker from getting it; one that does not take it is ended.
    public func share(_ file: borrowing Descriptor, offset: UInt64, size: UInt64) throws(Errno) -> UInt32 {
        guard let session else { throw .brokenPipe }
        do throws(Errno) {
            try WorkerLink.send(WorkerLink.memory, descriptors: [file.raw], over: session.socket)
        } catch {
            // It would have this thread wait as long for the next one.
            stop("The \(name) does not take the memory that it is given, and was ended.")
            throw error
        }
        let window = nextWindow
        nextWindow &+= 1
        send(.window(.map(window: window, offset: offset, size: size)), .window({}))
        return window
    }

    /// Takes shared memory away again.
    ///
    /// - Parameter completion: called later, when the worker doesn't use it any more, or there is none.
    public func withdraw(_ window: UInt32, completion: @escaping () -> Void) {
        send(.window(.unmap(window: window)), .window(completion))
    }

    private func flush() {
        while let (sequence, request) = backlog.first {
            do throws(RingViolation) {
                let isPut =
                    switch request {
                    case .command(let command): try session?.commands.put(command, sequence: sequence)
                    case .window(let command): try session?.commands.put(command, sequence: sequence)
                    }
                guard isPut == true else { return }
                show(request)
            } catch {
                return endForNonsense(error)
            }
            backlog.removeFirst()
        }
    }

    /// The worker has taken something out of the ring.
    private func flushBacklog() {
        guard isCongested else { return }
        flush()
        // Of one that was ended for it, whoever waits for room hears with its end.
        if session != nil, !isCongested { onRoom() }
    }

    func takeReplies() {
        guard session != nil else { return }
        session?.replies.wakeUp()
        do throws(RingViolation) {
            repeat {
                while let header = try session?.replies.next() {
                    show(header)
                    try take(header)
                }
            } while try session?.replies.prepareToSleep() == false
        } catch {
            return endForNonsense(error)
        }
        flushBacklog()
    }

    private func endForNonsense(_ error: RingViolation) {
        stop("The \(name) has sent nonsense, and was ended: \(error).")
    }

    private func take(_ header: MessageConsumer.Header) throws(RingViolation) {
        // Some answers are due later than those to what was asked behind.
        guard let index = pending.firstIndex(where: { $0.sequence == header.sequence }) else {
            throw RingViolation("an answer to command \(header.sequence), which waits for none")
        }
        switch pending[index].answer {
        case .command(let completion):
            guard let reply = session?.replies.read(Reply.self, header) else { throw Self.noAnswer(header) }
            note(index)
            completion(reply)
        case .window(let completion):
            guard session?.replies.read(WindowReply.self, header) != nil else { throw Self.noAnswer(header) }
            note(index)
            completion()
        }
    }

    private static func noAnswer(_ header: MessageConsumer.Header) -> RingViolation {
        RingViolation("message \(header.kind) is no answer to command \(header.sequence)")
    }

    private func note(_ index: Int) {
        let answered = pending.remove(at: index)
        if !answered.isPatient { dueCount -= 1 }
        if let title = answered.title { lastTitle = title }
        watchdog.noteAnswer()
    }
}
