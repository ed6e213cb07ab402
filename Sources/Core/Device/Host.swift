import GuestMemory
import Linux

/// What a device may use of the world, the same under every hypervisor and without one.
///
/// The parts are always there; what is behind them comes and goes with the client: with none
/// connected nothing is mapped, and interrupt messages wait for the next.
public final class Host {
    /// Waits for descriptors and timers on the device's thread.
    public let loop: EventLoop
    /// The guest's memory as the device sees it: by I/O virtual address. Out of reach while the function is no bus master.
    public let memory: AddressSpace
    /// The way to the guest's interrupt controller.
    public let interrupts: Interrupts
    /// Tells the administrator, in a sentence, what has happened to the device. Goes to nobody unless somebody listens.
    public var report: (String) -> Void = { _ in }

    public init(loop: EventLoop, memory: AddressSpace = AddressSpace()) {
        self.loop = loop
        self.memory = memory
        self.interrupts = Interrupts()
    }
}
