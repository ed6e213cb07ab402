import Device
import JSON
import Tap

extension RecordQueue {
    /// What the recording says of its device, which comes first.
    func takeDescription() throws -> RecordingDescription {
        guard let first = try peek(), first.kind == .description else {
            throw ReplayError("The recording doesn't begin with a description of its device.")
        }
        let description: RecordingDescription
        do throws(JSONError) {
            description = try JSON(parsing: first.bytes, valueLimit: 1000).decode()
        } catch {
            throw ReplayError("The recording's description can't be read: \(error)")
        }
        guard description.format == RecordingDescription.format else {
            throw ReplayError(
                "The recording has format \(description.format); this program replays \(RecordingDescription.format).")
        }
        drop()
        return description
    }
}

extension RecordingDescription {
    /// The device's options as `KEY=VALUE`, some of them others than the recorded ones.
    func options(with others: [String]) -> [String] {
        var all = options
        for option in others {
            let words = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            all[words[0]] = words.count > 1 ? words[1] : ""
        }
        return all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }
}
