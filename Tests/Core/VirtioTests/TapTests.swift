import EchoDevice
import FakeDriver
import FakeGuest
import Tap
import Testing
import Virtio

/// What a tap sees of a virtqueue.
@Suite struct TapTests {
    private let tap = KeepingTap()

    private func watch(_ bench: Bench) {
        bench.device.onThread { [tap] function, _ in function.host.tap = tap }
        _ = tap.takeAll()
    }

    private func chains() -> [KeepingTap.Seen] {
        tap.takeAll().filter {
            switch $0.passage {
            case .request, .completion: true
            default: false
            }
        }
    }

    /// As one stream, however the driver has cut it into pieces.
    @Test(arguments: RingKind.all, [false, true])
    func whatIsAskedAndAnswered(kind: RingKind, isIndirect: Bool) throws {
        let (bench, queue) = try Bench.ready(kind)
        watch(bench)
        let driver = bench.driver
        let parts = ["", "what ", "is asked"].map { driver.allocate(Array($0.utf8)) }
        let targets = [driver.allocate(3), driver.allocate(30)]
        queue.add(
            [
                .readable(parts[0], 0), .readable(parts[1], 5), .readable(parts[2], 8), .writable(targets[0], 3),
                .writable(targets[1], 30),
            ], isIndirect: isIndirect)
        try driver.notify(queue)
        #expect(queue.takeUsed()?.count == 13)
        let text = Array("what is asked".utf8)
        #expect(
            chains() == [KeepingTap.Seen(.request(queue: 0), text), KeepingTap.Seen(.completion(queue: 0), text)])
    }

    @Test func aChainThatIsKeptIsAnsweredLater() throws {
        let (bench, queue) = try Bench.ready(.packed, queue: 1)
        watch(bench)
        let id = queue.add(.readable(bench.driver.allocate([7]), 1), .writable(bench.driver.allocate(1), 1))
        try bench.driver.notify(queue)
        #expect(chains() == [KeepingTap.Seen(.request(queue: 1), [7])])
        try bench.driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(id))
        #expect(chains() == [KeepingTap.Seen(.completion(queue: 1), [7])])
    }

    /// A client that moves the bytes is asked for none that the device doesn't need.
    @Test func whatIsElsewhereIsNotFetchedToBeShown() throws {
        let (bench, queue) = try Bench.ready(.split, memory: .byMessage)
        watch(bench)
        func fetched() -> UInt64 { bench.device.onThread { _, server in server.statistics.messageDMABytesRead } }
        let before = fetched()
        try bench.echo("far away", by: queue)
        let watched = fetched() - before
        #expect(chains() == [KeepingTap.Seen(.request(queue: 0)), KeepingTap.Seen(.completion(queue: 0))])
        bench.device.onThread { function, _ in function.host.tap = nil }
        try bench.echo("far away", by: queue)
        #expect(fetched() - before == 2 * watched)
    }
}
