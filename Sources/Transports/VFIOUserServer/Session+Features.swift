import GuestMemory
import Linux
import VFIO

extension Session {
    /// VFIO_USER_DEVICE_FEATURE
    func feature(_ payload: RawSpan) throws -> Reply {
        var request = try DeviceFeature(payload)
        guard let feature = Feature(rawValue: request.index) else { throw Errno.inappropriateIOCTLForDevice }
        let allowed = Self.operations[feature] ?? []
        guard request.operations.subtracting(.probe).isSubset(of: allowed) else {
            throw Errno.inappropriateIOCTLForDevice
        }
        let data = payload.extracting(droppingFirst: DeviceFeature.size)
        var reply = replies.payloadBytes()
        var end = DeviceFeature.size
        if !request.operations.contains(.probe) {
            var answer = reply._mutatingExtracting(DeviceFeature.size..<reply.byteCount)
            end += try carryOut(feature, request, data, answer: &answer)
        }
        request.argumentSize = UInt32(end)
        request.write(into: &reply)
        return Reply(payload: end)
    }

    /// What can be done with each feature.
    private static let operations: [Feature: DeviceFeature.Operations] = [
        .migration: [.get],
        .migrationState: [.get, .set],
        .dmaLoggingStart: [.set],
        .dmaLoggingStop: [.set],
        .dmaLoggingReport: [.get],
    ]

    /// - Returns: the number of bytes of the answer.
    @_lifetime(answer: copy answer)
    private func carryOut(
        _ feature: Feature, _ request: DeviceFeature, _ data: RawSpan, answer: inout MutableRawSpan
    ) throws -> Int {
        let room = Int(request.argumentSize) - DeviceFeature.size
        switch feature {
        case .migration:
            guard room >= MigrationFlags.size else { throw Errno.invalidArgument }
            return MigrationFlags.stopCopy.write(into: &answer, at: 0)
        case .migrationState:
            guard room >= MigrationStateData.size else { throw Errno.invalidArgument }
            if request.operations.contains(.set) {
                let state = try MigrationStateData(data).state
                // A guest's last writes may still wait in their eventfds, or because somebody wants it so.
                if function.isRunning {
                    doorbells.ringAll()
                    function.letGoOfWhatWaits()
                }
                try migration.go(to: state)
                if function.isRunning { doorbells.goOn() }
            }
            return MigrationStateData(migration.state).write(into: &answer, at: 0)
        case .dmaLoggingStart:
            let control = try DMALoggingControl(data)
            guard control.pageSize.nonzeroBitCount == 1 else { throw DirtyLogError.invalidPageSize(control.pageSize) }
            try function.host.memory.dirtyLog.start(
                pageSize: max(4096, control.pageSize),
                ranges: control.ranges.map { DirtyLog.WatchedRange(address: $0.address, size: $0.length) })
            return control.write(into: &answer, at: 0)
        case .dmaLoggingStop:
            guard data.byteCount == 0 else { throw Errno.invalidArgument }
            function.host.memory.dirtyLog.stop()
            return 0
        case .dmaLoggingReport:
            let report = try DMALoggingReport(data)
            let count = try DirtyLog.bitmapSize(size: report.length, pageSize: report.pageSize)
            guard count <= UInt64(Self.maximumTransfer), room >= DMALoggingReport.size + Int(count) else {
                throw Errno.invalidArgument
            }
            let start = report.write(into: &answer, at: 0)
            answer.clear(start..<start + Int(count))
            var bitmap = answer._mutatingExtracting(start..<start + Int(count))
            try function.host.memory.dirtyLog.report(
                address: report.address, size: report.length, pageSize: report.pageSize, into: &bitmap)
            return start + Int(count)
        }
    }

    /// VFIO_USER_MIG_DATA_READ
    func readMigrationData(_ payload: RawSpan) throws -> Reply {
        let request = try MigrationData(read: payload)
        guard request.count <= UInt32(Self.maximumTransfer),
            request.argumentSize - UInt32(MigrationData.size) >= request.count
        else { throw Errno.invalidArgument }
        var reply = replies.payloadBytes()
        var data = reply._mutatingExtracting(MigrationData.size..<MigrationData.size + Int(request.count))
        let count = try migration.read(into: &data)
        MigrationData(count: UInt32(count)).write(into: &reply)
        return Reply(payload: MigrationData.size + count)
    }

    /// VFIO_USER_MIG_DATA_WRITE
    func writeMigrationData(_ payload: RawSpan) throws -> Reply {
        _ = try MigrationData(withData: payload)
        try migration.write(payload.extracting(droppingFirst: MigrationData.size))
        return Reply(payload: 0)
    }
}
