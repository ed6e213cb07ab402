import Linux
import VFIO

/// Migration and dirty logs. VFIO_USER_DEVICE_FEATURE, VFIO_USER_MIG_DATA_READ, VFIO_USER_MIG_DATA_WRITE
extension Client {
    /// Whether the server has a feature with all of these operations.
    public func probe(_ feature: Feature, _ operations: DeviceFeature.Operations) throws(ClientError) -> Bool {
        do throws(ClientError) {
            _ = try self.feature(feature, operations.union(.probe), answer: 0)
            return true
        } catch {
            if case .refused = error { return false }
            throw error
        }
    }

    /// What of migration the device can do.
    public func migrationFlags() throws(ClientError) -> MigrationFlags {
        let data = try feature(.migration, .get, answer: MigrationFlags.size)
        return try parse(data) { data throws(MalformedMessage) in try MigrationFlags(data) }
    }

    /// Where the device is in its migration; a `MigrationState`.
    public func migrationState() throws(ClientError) -> MigrationState? {
        let data = try feature(.migrationState, .get, answer: MigrationStateData.size)
        return MigrationState(
            rawValue: try parse(data) { data throws(MalformedMessage) in try MigrationStateData(data).state })
    }

    /// Has the device go to another state.
    public func setMigrationState(_ state: MigrationState) throws(ClientError) {
        _ = try feature(.migrationState, .set, answer: MigrationStateData.size) { bytes, position in
            MigrationStateData(state).write(into: &bytes, at: position)
        }
    }

    /// The next piece of the device's state.
    ///
    /// - Returns: at most `count` bytes; fewer at the end.
    public func readMigrationData(count: Int) throws(ClientError) -> [UInt8] {
        let size = prepare { MigrationData(count: UInt32(count)).write(into: &$0) }
        let message = try call(.migrationDataRead, payload: size)
        _ = try parse(.migrationDataRead, message) { payload throws(MalformedMessage) in
            try MigrationData(withData: payload)
        }
        defer { finish(message) }
        return Array(payload(of: message), from: MigrationData.size)
    }

    /// Gives the device the next piece of a state.
    public func writeMigrationData(_ data: RawSpan) throws(ClientError) {
        let size = prepare { MigrationData(count: UInt32(data.byteCount)).write(into: &$0) }
        finish(try call(.migrationDataWrite, payload: size, data: data))
    }

    /// Has the server log which pages the device writes.
    ///
    /// - Parameter ranges: none for all of memory.
    public func startDirtyLog(pageSize: UInt64, ranges: [DMALoggingControl.Range] = []) throws(ClientError) {
        let control = DMALoggingControl(pageSize: pageSize, ranges: ranges)
        let size = DMALoggingControl.size + 16 * ranges.count
        _ = try feature(.dmaLoggingStart, .set, answer: size) { bytes, position in
            control.write(into: &bytes, at: position)
        }
    }

    public func stopDirtyLog() throws(ClientError) {
        _ = try feature(.dmaLoggingStop, .set, answer: 0)
    }

    /// Which pages of a range the device has written since last asked.
    ///
    /// - Returns: one bit for each page, lowest bit of the first byte first, in whole 64-bit words.
    public func dirtyPages(_ report: DMALoggingReport) throws(ClientError) -> [UInt8] {
        let words = (max(report.length, 1) - 1) / max(report.pageSize, 1) / 64 + 1
        let size = DMALoggingReport.size + 8 * Int(truncatingIfNeeded: min(words, 1 << 20))
        let data = try feature(.dmaLoggingReport, .get, answer: size) { bytes, position in
            report.write(into: &bytes, at: position)
        }
        return Array(data.dropFirst(DMALoggingReport.size))
    }

    /// Asks for a feature.
    ///
    /// - Parameters:
    ///   - answer: the most bytes of data that the answer may have.
    ///   - data: writes the request's data at a position, and returns the position behind it.
    /// - Returns: the answer's data.
    private func feature(
        _ feature: Feature, _ operations: DeviceFeature.Operations, answer: Int,
        data: (inout MutableRawSpan, Int) -> Int = { $1 }
    ) throws(ClientError) -> [UInt8] {
        let request = DeviceFeature(
            feature, operations, argumentSize: UInt32(truncatingIfNeeded: DeviceFeature.size + answer))
        let size = prepare { bytes in
            let end = request.write(into: &bytes)
            return data(&bytes, end)
        }
        let message = try call(.deviceFeature, payload: size)
        defer { finish(message) }
        return Array(payload(of: message), from: DeviceFeature.size)
    }

    private func parse<Value>(
        _ data: [UInt8], _ read: (RawSpan) throws(MalformedMessage) -> Value
    ) throws(ClientError) -> Value {
        do throws(MalformedMessage) { return try read(data.span.bytes) } catch {
            throw .malformed(.deviceFeature, error)
        }
    }
}
