import JSON
import PCIInspection
import Tap

extension EventText {
    /// What is known of the event. Numbers that may have 64 bits are texts in hexadecimal, since JSON's have fewer.
    public func json(_ event: Event) -> JSON {
        var members: JSON.Object = [
            "number": JSON(event.number), "time": .number(Double(event.time &+ clock) / 1e9),
            "event": .string(event.kind.word),
        ]
        if event.kind.hasRegion { members["region"] = .string(Self.region(event.region)) }
        if event.kind.hasOffset { members["offset"] = .string("0x" + String(event.offset, radix: 16)) }
        if let register = names[event] { members["register"] = .string(register) }
        if event.kind.hasValue { members["value"] = .string("0x" + String(event.value, radix: 16)) }
        if event.count > 0 { members["count"] = JSON(event.count) }
        switch event.kind {
        case .message, .pending: members["vector"] = JSON(event.offset)
        case .altered: members["rule"] = JSON(event.offset)
        case .monitor:
            members["head"] = JSON(event.region)
            members["width"] = JSON(event.offset)
            members["height"] = JSON(event.value)
        case .quota:
            members["vram"] = JSON(event.offset)
            members["frameRate"] = JSON(event.value)
        case .request, .completion: members["queue"] = .string(names.queue(event))
        default: break
        }
        if let command = names.command(event) { members["command"] = .string(command) }
        if let fields = fields(event) { members["fields"] = fields }
        if !event.name.isEmpty { members["name"] = .string(event.name) }
        if let way = event.way { members["way"] = .string(way.word) }
        if let latency = event.latency { members["nanoseconds"] = JSON(latency) }
        return .object(members)
    }

    /// Of a register: flags are true or false, and those of the second and later registers that an access reaches have
    /// the registers' names in front. Of a message: what stands in it.
    private func fields(_ event: Event) -> JSON? {
        var members: JSON.Object = [:]
        for field in names.fields(event) ?? [] { members[field.name] = field.json }
        for (index, part) in names.parts(of: event).enumerated() {
            for field in part.fields {
                members[index == 0 ? field.name : "\(part.name).\(field.name)"] = field.json(part.value)
            }
        }
        return members.isEmpty ? nil : .object(members)
    }
}
