import Device
import Linux
import VFIO

/// Where a device is in its migration, and the data on its way. `enum vfio_device_mig_state`; vfio-user
/// specification, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE".
///
/// Pre-copy and peer-to-peer are not offered: the state is small, and memory behind BARs is read while the device
/// stands still.
struct Migration {
    private(set) var state = MigrationState.running
    var function: Function
    private var reader: StateReader?
    private var writer: StateWriter?

    init(_ function: Function) {
        self.function = function
    }

    /// Goes to another state, by the shortest way that has no saving state between its ends.
    ///
    /// - Throws: EINVAL for a state that doesn't exist, isn't offered or can't be reached from here, and for data
    ///   that is no state of this device: the migration is in ``MigrationState/error`` then.
    mutating func go(to number: UInt32) throws {
        guard let target = MigrationState(rawValue: number), Self.reachable.contains(target), state != .error else {
            throw Errno.invalidArgument
        }
        // Every way leads over STOP, which is next to each of the others.
        if state == target { return }
        if state != .stop { try stop() }
        switch target {
        case .running:
            function.setRunning(true)
        case .stopCopy: reader = try StateReader(function)
        case .resuming: writer = StateWriter(function)
        default: break
        }
        state = target
    }

    private static let reachable: Set<MigrationState> = [.stop, .running, .stopCopy, .resuming]

    private mutating func stop() throws {
        switch state {
        case .running: function.setRunning(false)
        case .resuming:
            let writer = writer
            self.writer = nil
            do {
                try writer?.finish()
            } catch {
                state = .error
                throw error
            }
        default: reader = nil
        }
        state = .stop
    }

    /// Fills `target` with the next bytes of the device's state.
    ///
    /// - Returns: how many; fewer than there is room for at the end.
    /// - Throws: EINVAL unless the state is being saved.
    mutating func read(into target: inout MutableRawSpan) throws(Errno) -> Int {
        guard let reader else { throw .invalidArgument }
        return reader.read(into: &target)
    }

    /// Takes the next bytes of a saved state.
    ///
    /// - Throws: EINVAL unless a state is being loaded; `StateError` when it can't be this device's.
    mutating func write(_ bytes: RawSpan) throws {
        guard let writer else { throw Errno.invalidArgument }
        do {
            try writer.write(bytes)
        } catch {
            self.writer = nil
            state = .error
            throw error
        }
    }

    /// The device was reset: it runs, whatever it was in. VFIO_USER_DEVICE_RESET
    mutating func reset() {
        reader = nil
        writer = nil
        state = .running
        function.setRunning(true)
    }

    /// The client left: the device goes on, after a reset where only half a state had come.
    mutating func abandon() {
        if state == .error || state == .resuming { function.reset() }
        reset()
    }
}
