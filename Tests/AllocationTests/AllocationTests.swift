import CAllocationCounter
import Device
import Exerciser
import Foundation
import Linux
import PCI
import Synchronization
import Testing
import VFIO
import VFIOUserClient
import VFIOUserServer

/// A message costs no allocation: what allocates sometimes, stalls sometimes.
@Suite(.serialized, .enabled(if: allocation_counter_works(), "A sanitizer has replaced the allocator."))
struct AllocationTests {
    /// The exerciser's scratch register.
    private static let scratch: UInt64 = 4

    @Test func theCounterSeesWhatIsAllocated() throws {
        let seen = Mutex<UInt>(0)
        let thread = try Thread(name: "allocates") {
            allocation_counter_include_this_thread()
            let before = allocation_counter_value()
            // Known outside of this thread, so that the optimizer can't do without it.
            let block = malloc(100)
            seen.withLock { $0 = UInt(bitPattern: block) }
            free(block)
            let after = allocation_counter_value()
            seen.withLock { $0 = after - before }
        }
        thread.join()
        #expect(seen.withLock { $0 } >= 1)
    }

    /// Without optimization generic code and closures have boxes that release builds don't have.
    private static var isOptimized: Bool {
        #if DEBUG
            false
        #else
            true
        #endif
    }

    /// By messages, and through the access ring.
    @Test(.enabled(if: isOptimized, "An unoptimized build allocates by itself."), arguments: [false, true])
    func registerAccessesAllocateNothing(usesRing: Bool) throws {
        try withServer(usesRing: usesRing) { client in
            try access(client, times: 10)
            let before = allocation_counter_value()
            try access(client, times: 20_000)
            #expect(allocation_counter_value() - before == 0)
        }
    }

    /// Reads and writes of a register and of configuration space, with and without replies. The last one has a
    /// reply: when it is here, all are done.
    private func access(_ client: Client, times: UInt32) throws {
        for number in 0..<times {
            try client.write(number, region: 0, offset: Self.scratch, isPosted: true)
            try client.write(number, region: 0, offset: Self.scratch)
            _ = try client.read(UInt32.self, region: RegionIndex.configuration, offset: 0)
            try client.write(UInt16(2), region: RegionIndex.configuration, offset: 4)
            #expect(try client.read(UInt32.self, region: 0, offset: Self.scratch) == number)
        }
    }

    /// Serves an exerciser on a thread whose allocations count.
    private func withServer(usesRing: Bool, _ body: (Client) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).sock").path
        let listener = try UnixListener(path: path)
        let running = Mutex<Stoppable?>(nil)
        let failure = Mutex<(any Error)?>(nil)
        let thread = try Thread(name: "server") {
            do {
                let host = try Host(loop: EventLoop())
                let device = try Exerciser(options: DeviceOptions([], for: Exerciser.type), host: host)
                let server = try Server(Function(device, host: host), listener: listener)
                running.withLock { $0 = Stoppable(server: server) }
                allocation_counter_include_this_thread()
                try server.run()
            } catch {
                failure.withLock { $0 = error }
            }
        }
        // The first reply shows that the server runs, and can be stopped.
        var configuration = Client.Configuration()
        if !usesRing { configuration.capabilities.accessRing = nil }
        let client = try Client(path: path, configuration: configuration)
        defer {
            running.withLock { $0 }?.server.stop()
            thread.join()
        }
        try client.setBusMaster(true)
        try body(client)
        #expect(failure.withLock { $0 } == nil)
    }

    /// Of the server, only `stop()` is called from another thread.
    private struct Stoppable: @unchecked Sendable {
        let server: Server
    }
}
