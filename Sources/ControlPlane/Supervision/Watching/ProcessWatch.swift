import Control
import Glibc
import Linux

/// One thread that watches all device processes: it learns of their ends, which may be those of processes that an
/// earlier daemon has started, and listens to what they tell.
///
/// It waits for nobody, and takes little of each at a time: what a process tells is read and dealt with elsewhere
/// (``EventFollower``).
final class ProcessWatch: Sendable {
    /// What becomes of what a process tells; it isn't asked for more before this has returned.
    typealias EventHandler = @Sendable (ControlEvents) async -> Void

    private let mailbox: Mailbox

    /// - Throws: `epoll_create1(2)`'s error, and its like; `.resourceTemporarilyUnavailable` when no thread can be had.
    init() throws(Errno) {
        let mailbox = Mailbox(bell: try EventFD())
        // Nobody else ever has it; the lock takes it to the thread.
        let loop = Locked(try WatchLoop(mailbox))
        _ = try Thread(name: "processes", stackSize: 512 << 10) { loop.withLock { $0.run() } }
        self.mailbox = mailbox
    }

    deinit { mailbox.put(.end) }

    /// Begins to watch a process.
    ///
    /// - Parameters:
    ///   - path: its control socket.
    ///   - onEvents: takes what it tells.
    ///   - onEnd: called once, on the thread, when it has ended and ``WatchedProcess/hasEnded``: it must not wait.
    func add(
        _ process: WatchedProcess, control path: String, onEvents: @escaping EventHandler,
        onEnd: @escaping @Sendable (ProcessOutcome) -> Void
    ) {
        mailbox.put(.watch(Order(process: process, control: path, onEvents: onEvents, onEnd: onEnd)))
    }

    /// Stops to listen to a process. Its end is still told.
    func unfollow(_ process: WatchedProcess) { mailbox.put(.unfollow(process)) }
}

/// What is to be watched.
private struct Order: Sendable {
    let process: WatchedProcess
    let control: String
    let onEvents: ProcessWatch.EventHandler
    let onEnd: @Sendable (ProcessOutcome) -> Void
}

/// What the thread is told by others.
private final class Mailbox: Sendable {
    enum Letter: Sendable {
        case watch(Order)
        case unfollow(WatchedProcess)
        /// What a process told is dealt with: behind which number to ask on; nil: it is no answer.
        case answered(WatchedProcess, last: Int?)
        case end
    }

    let bell: EventFD
    private let letters = Locked<[Letter]>([])

    init(bell: EventFD) { self.bell = bell }

    func put(_ letter: Letter) {
        letters.withLock { $0.append(letter) }
        bell.signal()
    }

    func takeAll() -> [Letter] {
        letters.withLock { letters in
            defer { letters = [] }
            return letters
        }
    }
}

/// What the thread alone has.
private final class WatchLoop {
    private struct Entry {
        let order: Order
        let follower: EventFollower
        var exit: EventLoop.Token?
    }

    private let mailbox: Mailbox
    private let loop: EventLoop
    private var agenda = Agenda()
    private var entries: [ObjectIdentifier: Entry] = [:]
    private var isOver = false

    /// Before what failed for want of memory is tried again.
    private static let pause = Duration.seconds(1)

    init(_ mailbox: Mailbox) throws(Errno) {
        self.mailbox = mailbox
        loop = try EventLoop()
        _ = try loop.watch("letters", mailbox.bell.descriptor, for: .readable) { [bell = mailbox.bell] _ in
            bell.consume()
        }
    }

    func run() {
        while !isOver {
            do throws(Errno) {
                try loop.dispatch(within: agenda.left)
            } catch {
                // The kernel says no such thing of a loop that is open; if it did, this would be no reason to be busy.
                poll(nil, 0, 1000)
            }
            for letter in mailbox.takeAll() { read(letter) }
            for act in agenda.takeDue() { act() }
        }
    }

    private func read(_ letter: Mailbox.Letter) {
        switch letter {
        case .watch(let order): begin(order)
        case .unfollow(let process): entries[ObjectIdentifier(process)]?.follower.stop()
        case .answered(let process, let last): entries[ObjectIdentifier(process)]?.follower.answered(last)
        case .end: isOver = true
        }
    }

    private func begin(_ order: Order) {
        let key = ObjectIdentifier(order.process)
        let follower = EventFollower(
            control: order.control, in: loop,
            later: { [unowned self] pause, act in agenda.add(after: pause, for: key, act) },
            hand: { [mailbox] answer in Self.deal(with: answer, order, mailbox) })
        entries[key] = Entry(order: order, follower: follower)
        watchExit(key)
        follower.ask()
    }

    /// Reads an answer and has it dealt with, apart from the thread: it may be long, and hard to read.
    private static func deal(with answer: [UInt8], _ order: Order, _ mailbox: Mailbox) {
        Task {
            var last: Int?
            do throws(ControlClientError) {
                let events = try EventConnection.events(in: answer)
                await order.onEvents(events)
                last = events.last
            } catch {
                // It says something that it shouldn't: from here on nobody listens.
            }
            mailbox.put(.answered(order.process, last: last))
        }
    }

    // MARK: Ends

    private func watchExit(_ key: ObjectIdentifier) {
        guard let process = entries[key]?.order.process else { return }
        do throws(Errno) {
            entries[key]?.exit = try loop.watch("exit", process.handle.descriptor, for: .readable) {
                [unowned self] _ in end(key)
            }
        } catch {
            // Out of memory, or of what may be watched. It may end meanwhile: that is seen when there is some.
            agenda.add(after: Self.pause, for: key) { [unowned self] in watchExit(key) }
        }
    }

    private func end(_ key: ObjectIdentifier) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        if let token = entry.exit { loop.unwatch(token) }
        entry.follower.stop()
        agenda.removeAll(of: key)
        let process = entry.order.process
        let outcome = ProcessOutcome(takenOf: process.identity.id)
        process.noteEnd(outcome)
        entry.order.onEnd(outcome)
    }
}
