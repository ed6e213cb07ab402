extension Function {
    /// Takes this function down and makes another in its place over the same host, which goes on as if nothing had
    /// happened.
    ///
    /// The memory that the device had of the host stays where it is, with whatever the guest writes to it meanwhile. So
    /// do the guest's memory and the way to the interrupt controller. From one to the other go the registers, as
    /// values.
    ///
    /// - Parameter make: makes a device of the same type, with the same options.
    /// - Returns: the new one. Whoever has this one lets go of it.
    /// - Throws: what `make` throws, ``StateError`` when the new one can't go on from there; this one goes on then.
    public func remade(_ make: (Host) throws -> any Device) throws -> Function {
        letGoOfWhatWaits()
        let ran = isRunning
        setRunning(false)
        let registers = state
        let (transport, table, onArrival) = (transport, host.interrupts.msixTable, host.memory.onArrival)
        // Neither of the two is the truth meanwhile: what would go out waits.
        host.interrupts.transport = nil
        let memory = host.deviceMemory.release()
        do {
            let successor = try Function(make(host), host: host)
            successor.setRunning(false)
            // Its options are those that this one was made with; what was changed since is the administrator's.
            if let quota = limits?.quota, quota != successor.limits?.quota {
                try successor.limits?.apply(quota)
                successor.updateMappedParts()
            }
            try successor.restore(registers)
            try successor.device.goOn(from: device)
            host.deviceMemory.dropUntaken()
            // It knows where the BARs are, and goes on with their memory.
            successor.attach(transport, knowing: placements)
            successor.setRunning(ran)
            return successor
        } catch {
            host.deviceMemory.takeBack(memory)
            host.memory.onArrival = onArrival
            host.interrupts.msixTable = table
            try restore(registers)
            attach(transport, knowing: placements)
            setRunning(ran)
            throw error
        }
    }
}

extension Device {
    fileprivate func goOn(from other: any Device) throws(StateError) {
        guard let other = other as? Self else {
            throw StateError("A '\(Self.type.name)' can't go on from a '\(Swift.type(of: other).type.name)'.")
        }
        try restore(other.state)
    }
}
