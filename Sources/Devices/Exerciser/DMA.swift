import Device
import GuestMemory

extension Exerciser {
    /// The command register: what to do in bits 7:0; bit 8 raises a vector when it is done, whatever came
    /// of it, and bits 23:16 say which.
    struct Command {
        enum Operation: UInt8 {
            /// Guest memory at the source to the beginning of the buffer.
            case load = 1
            /// The beginning of the buffer to guest memory at the destination.
            case store = 2
            /// Guest memory to guest memory, upwards.
            case copy = 3
            /// The pattern to guest memory at the destination.
            case fill = 4
        }

        let operation: Operation?
        let vector: UInt64?

        init(_ value: UInt32) {
            operation = Operation(rawValue: UInt8(truncatingIfNeeded: value))
            vector = value & 1 << 8 != 0 ? UInt64(value >> 16 & 0xff) : nil
        }
    }

    /// The status register: how the last command ended.
    enum Status: UInt32, Codable, Sendable {
        case done = 0
        case unknownCommand = 1
        /// More than ``longestTransfer``, or more than the buffer holds.
        case lengthTooLarge = 2
        /// At the fault address: nothing is mapped …
        case notMapped = 3
        /// … the map doesn't allow it …
        case denied = 4
        /// … or the memory can't be reached although it is mapped; or the function is no bus master.
        case unreachable = 5
        /// The range runs past 2^64.
        case invalidRange = 6
    }

    /// In bytes; what a guest can make the device do at a stroke is bounded by it.
    static let longestTransfer: UInt32 = 1 << 20

    func run(_ command: Command) {
        state.commands &+= 1
        state.faultAddress = 0
        do throws(DMAError) {
            state.status = try transfer(command.operation)
        } catch {
            (state.status, state.faultAddress) = Self.status(of: error)
        }
        if let vector = command.vector { raise(vector) }
    }

    /// A hypervisor that moves the bytes itself may let the guest write registers meanwhile; the transfer
    /// goes on with the ones it began with.
    private func transfer(_ operation: Command.Operation?) throws(DMAError) -> Status {
        guard let operation else { return .unknownCommand }
        let registers = state
        let usesBuffer = operation == .load || operation == .store
        guard registers.length <= (usesBuffer ? UInt32(Self.bufferSize) : Self.longestTransfer) else {
            return .lengthTooLarge
        }
        for place in stride(from: 0, to: Int(registers.length), by: Self.pieceSize) {
            let count = min(Self.pieceSize, Int(registers.length) - place)
            var piece = [UInt8](repeating: registers.pattern, count: count)
            switch operation {
            case .load, .copy:
                let address = try Self.address(registers.source, place)
                var span = piece.mutableSpan
                var bytes = span.mutableBytes
                try host.memory.read(at: address, into: &bytes)
            case .store:
                var span = piece.mutableSpan
                var bytes = span.mutableBytes
                host.look(at: memory, from: Self.bufferOffset + place, count: count, into: &bytes)
            case .fill:
                break
            }
            if operation == .load {
                memory.replace(at: Self.bufferOffset + place, with: piece.span.bytes)
            } else {
                try host.memory.write(at: Self.address(registers.destination, place), from: piece.span.bytes)
            }
        }
        return .done
    }

    /// What is held at a time, in bytes.
    static let pieceSize = 4096

    private static func address(_ base: UInt64, _ place: Int) throws(DMAError) -> UInt64 {
        let (address, overflow) = base.addingReportingOverflow(UInt64(place))
        guard !overflow else { throw .invalidRange(address: base, size: UInt64(place)) }
        return address
    }

    private static func status(of error: DMAError) -> (Status, faultAddress: UInt64) {
        switch error {
        case .notMapped(let address): (.notMapped, address)
        case .denied(let address, _): (.denied, address)
        case .fault(let address), .remote(let address, _), .notBusMaster(let address): (.unreachable, address)
        case .invalidRange(let address, _): (.invalidRange, address)
        }
    }
}
