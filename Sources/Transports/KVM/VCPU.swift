import CKVM
import CLinux
import Glibc
import Linux
import Synchronization

/// What answers a guest's accesses that nothing in the kernel answers. Called on the threads of the vCPUs.
public protocol ExitHandler: AnyObject, Sendable {
    /// - Parameter width: 1, 2, 4 or 8 bytes.
    /// - Returns: the value in the low bits.
    func readMemory(at address: UInt64, width: Int) -> UInt64
    func writeMemory(at address: UInt64, width: Int, value: UInt64)
    /// - Parameter width: 1, 2 or 4 bytes.
    func readPort(_ port: UInt16, width: Int) -> UInt64
    func writePort(_ port: UInt16, width: Int, value: UInt64)
}

/// How often a vCPU left the guest, by reason.
public struct ExitCounters: Equatable, Sendable {
    public var memoryReads: UInt64 = 0
    public var memoryWrites: UInt64 = 0
    public var portReads: UInt64 = 0
    public var portWrites: UInt64 = 0
    /// Signals, and whatever else left no access to answer.
    public var others: UInt64 = 0

    public init() {}

    public var memory: UInt64 { memoryReads + memoryWrites }
}

/// One processor of a guest. ``run(_:)`` keeps the calling thread until ``stop()``.
public final class VCPU: Sendable {
    /// Why a vCPU can't go on.
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        /// KVM_EXIT_SHUTDOWN: a triple fault.
        case shutdown
        /// KVM_EXIT_INTERNAL_ERROR: most often an instruction that the kernel can't emulate.
        case internalError(instructionPointer: UInt64)
        /// Another KVM_EXIT_….
        case unexpectedExit(UInt32)
        case kvm(KVMError)

        public var description: String {
            switch self {
            case .shutdown: "The guest's processor shut down: a triple fault."
            case .internalError(let address): "KVM can't emulate the instruction at \(String(address, radix: 16))."
            case .unexpectedExit(let reason): "KVM_RUN returned for reason \(reason), which nothing here handles."
            case .kvm(let error): error.description
            }
        }
    }

    private let descriptor: Descriptor
    private let shared: Mapping
    private let counts = Locked(ExitCounters())
    /// Whoever runs the guest now.
    private let thread = Locked<pthread_t?>(nil)
    private let isStopping = Atomic<Bool>(false)

    private static let interruption = clinux_vcpu_signal()

    /// - Parameter number: of the vCPU, from 0, and of its local APIC. The first one runs from the start; others wait
    ///   for its startup IPI.
    public init(_ machine: VirtualMachine, number: Int = 0) throws(KVMError) {
        descriptor = Descriptor(
            owning: try call("KVM_CREATE_VCPU", ckvm_create_vcpu(machine.descriptor.raw, UInt(number))))
        do throws(Errno) {
            shared = try Mapping(of: descriptor, size: machine.sharedSize)
        } catch {
            throw KVMError("mapping the vCPU's page", error)
        }
    }

    /// How often the guest was left until now.
    public var counters: ExitCounters { counts.withLock { $0 } }

    /// Begins in real mode, with all segments at 0.
    ///
    /// - Parameter address: of the first instruction, below 64 KiB.
    public func start(at address: UInt16) throws(KVMError) {
        var special = kvm_sregs()
        try call("KVM_GET_SREGS", ckvm_get_special_registers(descriptor.raw, &special))
        special.cs.base = 0
        special.cs.selector = 0
        try call("KVM_SET_SREGS", ckvm_set_special_registers(descriptor.raw, &special))
        var registers = kvm_regs()
        registers.rip = UInt64(address)
        // The one bit that is always set.
        registers.rflags = 2
        try call("KVM_SET_REGS", ckvm_set_registers(descriptor.raw, &registers))
    }

    /// Runs the guest on the calling thread until ``stop()``.
    public func run(_ handler: some ExitHandler) throws(Failure) {
        clinux_install_interrupting_signal(Self.interruption)
        thread.withLock { $0 = pthread_self() }
        defer { thread.withLock { $0 = nil } }
        while !isStopping.load(ordering: .acquiring) {
            let result = ckvm_run(descriptor.raw)
            if result < 0 {
                guard result == -EINTR || result == -EAGAIN else {
                    throw .kvm(KVMError("KVM_RUN", Errno(rawValue: -result)))
                }
                counts.withLock { $0.others += 1 }
                continue
            }
            try handle(ckvm_exit_of(page), handler)
        }
    }

    /// Makes ``run(_:)`` return soon. Callable from any thread, also before it runs.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        ckvm_exit_immediately(page, 1)
        // Under the lock the thread can't leave, and end, meanwhile.
        thread.withLock { if let thread = $0 { pthread_kill(thread, Self.interruption) } }
    }

    private var page: UnsafeMutablePointer<kvm_run> {
        // SAFETY: KVM's shared page begins with a kvm_run, and is mapped as long as this object lives.
        shared.base.assumingMemoryBound(to: kvm_run.self)
    }

    // MARK: Exits

    private func handle(_ exit: ckvm_exit, _ handler: some ExitHandler) throws(Failure) {
        switch Int32(bitPattern: exit.reason) {
        case KVM_EXIT_MMIO:
            counts.withLock { exit.is_write != 0 ? ($0.memoryWrites += 1) : ($0.memoryReads += 1) }
            access(exit) { width, value in
                guard exit.is_write != 0 else { return handler.readMemory(at: exit.address, width: width) }
                handler.writeMemory(at: exit.address, width: width, value: value)
                return nil
            }
        case KVM_EXIT_IO:
            counts.withLock { exit.is_write != 0 ? ($0.portWrites += 1) : ($0.portReads += 1) }
            access(exit) { width, value in
                let port = UInt16(truncatingIfNeeded: exit.address)
                guard exit.is_write != 0 else { return handler.readPort(port, width: width) }
                handler.writePort(port, width: width, value: value)
                return nil
            }
        case KVM_EXIT_SHUTDOWN: throw .shutdown
        case KVM_EXIT_INTERNAL_ERROR:
            var registers = kvm_regs()
            _ = ckvm_get_registers(descriptor.raw, &registers)
            throw .internalError(instructionPointer: registers.rip)
        case KVM_EXIT_INTR, KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_HLT: counts.withLock { $0.others += 1 }
        default: throw .unexpectedExit(exit.reason)
        }
    }

    /// Calls `body` for each value of an access, and stores what it returns.
    private func access(_ exit: ckvm_exit, _ body: (Int, UInt64) -> UInt64?) {
        let width = Int(exit.size)
        guard [1, 2, 4, 8].contains(width) else { return }
        for index in 0..<Int(exit.count) {
            let offset = Int(exit.data_offset) + index * width
            guard offset <= shared.size - width else { return }
            // SAFETY: inside the page, as just checked; the kernel touches it during KVM_RUN only.
            var value: UInt64 = 0
            memcpy(&value, shared.base + offset, width)
            if var answer = body(width, value) { memcpy(shared.base + offset, &answer, width) }
        }
    }
}
