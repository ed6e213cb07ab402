import Device
import Linux
import Tap
import VFIO
import VFIOUserWire

extension Session {
    /// How a command ended that was not refused.
    enum Outcome {
        case reply(Reply)
        /// ``release(_:)`` will come.
        case held
        /// The command is to be carried out further when all else has had its turn.
        case unfinished(writesDone: Int)
        /// It waits before it is carried out, or goes on.
        case parked
    }

    /// Carries out a command, by the function of its name.
    ///
    /// - Parameter writesDone: how many writes of a REGION_WRITE_MULTI were carried out in turns before.
    /// - Throws: what ``errno(for:)`` has an errno for, when the command is refused.
    func carryOut(_ message: MessageStream.Message, from writesDone: Int) throws -> Outcome {
        let header = message.header
        guard header.type == .command else { throw Errno.invalidArgument }
        guard let command = Command(rawValue: header.command) else { throw Errno.inappropriateIOCTLForDevice }
        guard client != nil || command == .version else { throw Errno.invalidArgument }
        if stream.hasDescriptors {
            if stream.lacksDescriptors(message) { throw Errno.tooManyOpenFiles }
            guard command == .dmaMap || command == .deviceSetIRQs || !stream.hasDescriptors(message) else {
                throw Errno.invalidArgument
            }
        }
        let payload = stream.payload(of: message)
        switch command {
        case .regionRead: return try readRegion(payload)
        case .regionWrite: return try writeRegion(payload)
        case .regionWriteMulti: return try writeMultiple(payload, from: writesDone)
        default: return try carryOut(command, payload, message)
        }
    }

    /// Carries out what is no access, in sight of the tap.
    private func carryOut(
        _ command: Command, _ payload: RawSpan, _ message: MessageStream.Message
    ) throws -> Outcome {
        function.host.tap?.note(
            .command(number: Int(command.rawValue), descriptors: stream.descriptorKinds(of: message)), payload)
        switch command {
        case .version: return .reply(try negotiate(payload))
        case .dmaMap: return .reply(try map(payload, stream.takeDescriptors(of: message)))
        case .dmaUnmap: return try unmap(payload)
        case .deviceGetInfo: return .reply(try deviceInfo(payload))
        case .deviceGetRegionInfo: return .reply(try regionInfo(payload))
        case .deviceGetRegionIOFDs: return .reply(try regionIOFDs(payload))
        case .deviceGetIRQInfo: return .reply(try irqInfo(payload))
        case .deviceSetIRQs: return .reply(try setIRQs(payload, stream.takeDescriptors(of: message)))
        case .deviceReset: return .reply(try reset(payload))
        case .deviceFeature: return .reply(try feature(payload))
        case .migrationDataRead: return .reply(try readMigrationData(payload))
        case .migrationDataWrite: return .reply(try writeMigrationData(payload))
        // The server asks the last two, it isn't asked; the others are accesses.
        case .regionRead, .regionWrite, .regionWriteMulti, .dmaRead, .dmaWrite: throw Errno.invalidArgument
        }
    }

    static func errno(for error: any Error) -> Errno {
        (error as? any Refusal)?.errno ?? .ioError
    }
}
