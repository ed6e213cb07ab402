import JSON

/// What goes through the virtqueues of a device, as data: what the queues are called, and how their messages begin and
/// go on.
struct QueueProtocol: Sendable {
    /// The specification's names, by the queues' numbers.
    let queues: [String]
    /// By the number that a message begins with, of 32 bits.
    let messages: [UInt32: Message]
    /// What stands in front of all messages.
    let header: [Field]

    struct Message: Sendable {
        let name: String
        let fields: [Field]

        init(_ name: String, _ fields: [Field] = []) {
            self.name = name
            self.fields = fields
        }
    }

    /// Some bytes of a message, from `offset` on. All numbers are little-endian.
    struct Field: Sendable {
        let name: String
        let offset: Int
        let meaning: Meaning
        let presence: Presence

        enum Meaning: Sendable {
            /// A number of so many bytes.
            case number(Int)
            case hexadecimal(Int)
            case signed
            /// A number of four bytes with names for some values.
            case words([UInt32: String])
            /// So many numbers of four bytes.
            case list(Int)
            /// Place and size, four bytes each: x, y, width, height.
            case rectangle
            /// Place and size, four bytes each: x, y, z, width, height, depth.
            case box
            /// Text of so many bytes, up to the first zero.
            case text(Int)
            /// Text up to the end, or to the first zero.
            case rest
        }

        enum Presence: Sendable {
            case always
            /// Shown unless it is 0.
            case notZero
            /// Says something where this bit of the four bytes at 4, the flags, is 1.
            case flag(Int)
        }

        init(_ name: String, _ offset: Int, _ meaning: Meaning = .number(4), _ presence: Presence = .always) {
            self.name = name
            self.offset = offset
            self.meaning = meaning
            self.presence = presence
        }
    }

    /// By the device's type.
    static let all: [String: QueueProtocol] = [
        "virtio-gpu": .virtioGPU,
        "virtio-rng": QueueProtocol(queues: ["requestq"], messages: [:], header: []),
    ]

    /// What is known of a message.
    struct Reading {
        let name: String
        let fields: [Field]

        /// What a field says. Its text may be a guest's, with all that can be in it.
        struct Field {
            let name: String
            let text: String
            let json: JSON
        }
    }

    /// - Parameter bytes: its beginning; fields that aren't all there aren't read.
    /// - Returns: nil where messages have no number, or there is none.
    func reading(of bytes: [UInt8]) -> Reading? {
        guard !messages.isEmpty, let number = bytes.number(at: 0, 4).map(UInt32.init(truncatingIfNeeded:)) else {
            return nil
        }
        let message = messages[number]
        let inFront = Message("", header).readings(of: bytes)
        return Reading(
            name: message?.name ?? "0x\(String(number, radix: 16))",
            fields: inFront + (message?.readings(of: bytes) ?? []))
    }
}

extension QueueProtocol.Message {
    /// Its fields, as far as `bytes` go.
    func readings(of bytes: [UInt8]) -> [QueueProtocol.Reading.Field] {
        fields.compactMap { field in
            field.reading(of: bytes).map { .init(name: field.name, text: $0.text, json: $0.json) }
        }
    }
}

extension QueueProtocol.Field {
    /// How it is written, and for programs; nil when it isn't there.
    fileprivate func reading(of bytes: [UInt8]) -> (text: String, json: JSON)? {
        if case .flag(let bit) = presence, (bytes.number(at: 4, 4) ?? 0) >> UInt64(bit) & 1 == 0 { return nil }
        switch meaning {
        case .number(let width):
            return bytes.number(at: offset, width).flatMap { isShown($0) ? ("\($0)", JSON($0)) : nil }
        case .hexadecimal(let width):
            return bytes.number(at: offset, width).flatMap {
                let text = "0x" + String($0, radix: 16)
                return isShown($0) ? (text, .string(text)) : nil
            }
        case .signed:
            return bytes.number(at: offset, 4).map {
                let number = Int32(truncatingIfNeeded: $0)
                return ("\(number)", JSON(number))
            }
        case .words(let words):
            return bytes.number(at: offset, 4).map {
                guard let word = words[UInt32(truncatingIfNeeded: $0)] else { return ("\($0)", JSON($0)) }
                return (word, .string(word))
            }
        case .list(let count): return numbers(bytes, count) { $0.map(String.init).joined(separator: ",") }
        case .rectangle: return numbers(bytes, 4) { "\($0[2])x\($0[3])+\($0[0])+\($0[1])" }
        case .box: return numbers(bytes, 6) { "\($0[3])x\($0[4])x\($0[5])+\($0[0])+\($0[1])+\($0[2])" }
        case .text(let count): return bytes.count < offset + count ? nil : text(bytes, upTo: count)
        case .rest: return text(bytes, upTo: bytes.count)
        }
    }

    private func text(_ bytes: [UInt8], upTo count: Int) -> (text: String, json: JSON)? {
        let text = String(decoding: bytes.dropFirst(offset).prefix(count).prefix { $0 != 0 }, as: UTF8.self)
        return text.isEmpty ? nil : (text, .string(text))
    }

    private func numbers(_ bytes: [UInt8], _ count: Int, _ text: ([UInt64]) -> String) -> (text: String, json: JSON)? {
        let numbers = (0..<count).compactMap { bytes.number(at: offset + 4 * $0, 4) }
        return numbers.count == count ? (text(numbers), .array(numbers.map { JSON($0) })) : nil
    }

    private func isShown(_ number: UInt64) -> Bool {
        if case .notZero = presence { number != 0 } else { true }
    }
}

extension [UInt8] {
    fileprivate func number(at offset: Int, _ width: Int) -> UInt64? {
        guard count >= offset + width else { return nil }
        return self[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
