import CXen

/// What a process notes in the page of requests, behind the last of them, where no guest looks: whose the function is,
/// and where it is. Each record has two places, of which the first word says in which the last one is: it is whole,
/// whenever the process is killed.
extension RequestServer {
    /// In which form records are, in the upper bits of the first word.
    private static let recordForm: UInt64 = 0x4d44_5444_0000_0200
    private static let firstRecord = 1 + SlotIdentity.wordCount

    private var recordWords: UnsafeMutablePointer<UInt64>? {
        let end = Domain.frameSize / MemoryLayout<UInt64>.size
        let start = end - Self.firstRecord - 2 * SlotRecord.wordCount
        guard start * MemoryLayout<UInt64>.size >= processors * MemoryLayout<cxen_request>.size else { return nil }
        // SAFETY: the words lie in the page, behind the last request, and are aligned.
        return UnsafeMutableRawPointer(requests).assumingMemoryBound(to: UInt64.self) + start
    }

    /// Notes whose the function is. A record counts only behind that.
    func note(_ identity: SlotIdentity?) {
        guard let words = recordWords else { return }
        for (index, word) in SlotIdentity.words(of: identity).enumerated() { words[1 + index] = word }
    }

    /// The record of whoever has this identity, or of nobody in particular where it is nil. Nil when there is none,
    /// when it is another one's, or when what is there can't be one.
    func record(of identity: SlotIdentity?) -> SlotRecord? {
        guard let words = recordWords, words[0] & ~1 == Self.recordForm else { return nil }
        guard (0..<SlotIdentity.wordCount).map({ words[1 + $0] }) == SlotIdentity.words(of: identity) else {
            return nil
        }
        return record(in: words)
    }

    /// The record, whosever it is.
    var record: SlotRecord? {
        guard let words = recordWords, words[0] & ~1 == Self.recordForm else { return nil }
        return record(in: words)
    }

    private func record(in words: UnsafeMutablePointer<UInt64>) -> SlotRecord? {
        let first = Self.firstRecord + Int(words[0] & 1) * SlotRecord.wordCount
        return SlotRecord(words: (first..<first + SlotRecord.wordCount).map { words[$0] })
    }

    /// Where there is no room for it nothing is noted: with more than 91 virtual processors.
    public func note(_ record: SlotRecord) {
        guard let words = recordWords else { return }
        guard let noted = record.words else { return cxen_publish(words, 0) }
        let which = words[0] & ~1 == Self.recordForm ? words[0] & 1 ^ 1 : 0
        for (index, word) in noted.enumerated() {
            words[Self.firstRecord + Int(which) * SlotRecord.wordCount + index] = word
        }
        cxen_publish(words, Self.recordForm | which)
    }
}
