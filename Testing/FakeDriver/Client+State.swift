import VFIOUserClient

extension Client {
    /// The device's whole state, by messages. The device stands still from then on.
    public func saveState() throws -> [UInt8] {
        try setMigrationState(.stopCopy)
        var state: [UInt8] = []
        while true {
            let piece = try readMigrationData(count: 100_000)
            state += piece
            if piece.count < 100_000 { break }
        }
        return state
    }

    /// Has the device go on from a state.
    public func restore(_ state: [UInt8]) throws {
        try setMigrationState(.resuming)
        try writeMigrationData(state.span.bytes)
        try setMigrationState(.running)
    }
}
