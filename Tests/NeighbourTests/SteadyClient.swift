import FakeGuest
import Linux
import Synchronization

/// The client of a vGPU that nobody attacks: it goes on with registers, DMA and interrupts, checks every answer, and
/// measures how long one takes.
final class SteadyClient: Sendable {
    /// What it has seen since it was last asked.
    struct Report {
        /// Of one round trip in four, in nanoseconds.
        var durations: [UInt64] = []
        var failure: String?

        /// The duration that so many hundredths of them do not exceed, in nanoseconds; 0 when there are none.
        func percentile(_ percent: Int) -> UInt64 {
            let sorted = durations.sorted()
            return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
        }
    }

    private let report = Mutex(Report())
    private let count = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let thread = Mutex<Thread?>(nil)

    init(of gpu: VirtualGPU) throws {
        let socket = gpu.socket
        let started = try Thread(name: "steady client") { [self] in
            do { try run(socket) } catch { report.withLock { $0.failure = "\(error)" } }
        }
        thread.withLock { $0 = started }
    }

    /// How many right answers it has had.
    var roundTrips: Int { count.load(ordering: .relaxed) }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        thread.withLock { $0.take() }?.join()
    }

    /// Takes the report; the next one begins.
    func takeReport() -> Report {
        report.withLock { report in
            defer { report = Report(failure: report.failure) }
            return report
        }
    }

    private func run(_ socket: String) throws {
        let client = try VirtualGPU.client(at: socket)
        let memory = try GuestRAM(at: 0x10000, size: 0x2000)
        let event = try EventFD()
        try client.map(memory.file.descriptor.raw, at: memory.address, size: 0x2000)
        try client.setInterrupts([event])
        try client.write(memory.address, at: RawClient.source)
        try client.write(memory.address + 0x1000, at: RawClient.destination)
        try client.write(UInt32(8), at: RawClient.length)
        var number: UInt64 = 0
        while !isStopped.load(ordering: .relaxed) {
            number += 1
            try cycle(number, client, memory, event)
        }
    }

    private func cycle(_ number: UInt64, _ client: RawClient, _ memory: GuestRAM, _ event: EventFD) throws {
        let start = SystemClock.nanoseconds
        try client.write(UInt32(truncatingIfNeeded: number), at: RawClient.scratch)
        let end = SystemClock.nanoseconds
        guard try client.read(UInt32.self, at: RawClient.scratch) == UInt32(truncatingIfNeeded: number) else {
            throw Failure("Register \(number) is not what was written.")
        }
        memory.store(wire(number), at: 0)
        try client.write(RawClient.copy, at: RawClient.command)
        guard memory.bytes(at: 0x1000, count: 8) == wire(number) else { throw Failure("DMA \(number) went wrong.") }
        try client.write(UInt32(0), at: RawClient.raise)
        guard event.consume() == 1 else { throw Failure("Interrupt \(number) did not come.") }
        count.add(4, ordering: .relaxed)
        report.withLock { $0.durations.append(end - start) }
    }
}
