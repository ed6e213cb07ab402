import Control
import Linux
import Synchronization

/// Whoever has the control socket of a vGPU: it asks again and again, and must be answered.
final class Owner: Sendable {
    private let answers = Atomic<Int>(0)
    private let failure = Mutex<String?>(nil)
    private let isStopped = Atomic<Bool>(false)
    private let thread = Mutex<Thread?>(nil)

    init(of gpu: VirtualGPU) throws {
        let path = gpu.controlSocket
        let started = try Thread(name: "owner") { [self] in
            while !isStopped.load(ordering: .relaxed) {
                do { try ask(path) } catch { failure.withLock { $0 = "\(error)" } }
            }
        }
        thread.withLock { $0 = started }
    }

    /// - Returns: how often it was answered, and why it was not at last, if that ever happened.
    func stop() -> (answers: Int, failure: String?) {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
        return (answers.load(ordering: .relaxed), failure.withLock { $0 })
    }

    private func ask(_ path: String) throws {
        let client = try ControlClient(connectingTo: path)
        do {
            while !isStopped.load(ordering: .relaxed) {
                _ = try client.info()
                answers.add(1, ordering: .relaxed)
            }
        } catch ControlClientError.closed {
            // Others have connected meanwhile: this connection was silent the longest.
        }
    }
}
