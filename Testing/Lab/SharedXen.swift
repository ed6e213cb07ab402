import Foundation

/// The machine with Xen that tests share: it is booted once, by the first test that wants it, and goes with the process
/// of the tests. One test has it at a time.
public final class SharedXen {
    public let machine: XenMachine

    /// Which Xen it is.
    public static let release = XenMachine.Release.debian13
    private static let turn = DispatchSemaphore(value: 1)
    // SAFETY: whoever has the turn is alone with it.
    nonisolated(unsafe) private static var booted: XenMachine?

    /// Waits for the test before this one. The turn ends with this object.
    public init() throws {
        Self.turn.wait()
        do {
            machine = try Self.booted ?? Self.boot()
        } catch {
            Self.turn.signal()
            throw error
        }
    }

    private static func boot() throws -> XenMachine {
        let machine = try XenMachine(release, with: ["XenProbe", "mediated-device"])
        booted = machine
        atexit { SharedXen.booted?.end() }
        return machine
    }

    deinit {
        Self.turn.signal()
    }
}
