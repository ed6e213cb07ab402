import Tap
import VFIO

extension RegisterNames {
    /// What a client's message, or one of a virtqueue's, is called; nil for all else, and where nobody here knows.
    func command(_ event: Event) -> String? {
        switch event.kind {
        case .command: Command(rawValue: UInt16(clamping: event.offset))?.name ?? "\(event.offset)"
        case .request, .completion: queues?.reading(of: event.bytes)?.name
        default: nil
        }
    }

    /// What the virtqueue of a chain is called.
    func queue(_ event: Event) -> String {
        guard let queues, event.offset < UInt64(queues.queues.count) else { return "queue \(event.offset)" }
        return queues.queues[Int(event.offset)]
    }

    /// What stands in such a message, as far as its bytes are there.
    func fields(_ event: Event) -> [QueueProtocol.Reading.Field]? {
        switch event.kind {
        case .command: QueueProtocol.fields(ofCommand: event.offset, event.bytes)
        case .request, .completion: queues?.reading(of: event.bytes)?.fields
        default: nil
        }
    }

    /// All that ``command(_:)`` may give: for whoever asks what there is.
    static let allCommands: [String] =
        Command.allCases.map(\.name)
        + QueueProtocol.all.values.flatMap { $0.messages.values.map(\.name) }.sorted()
}
