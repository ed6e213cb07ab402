import SeededRandom
import Testing

@testable import Xen

/// What a killed process leaves to the next one.
struct SlotRecordTests {
    private static let record = SlotRecord(
        places: [
            .init(region: 0, isPorts: false, range: 0xe000_0000...0xe000_0fff),
            .init(region: 6, isPorts: true, range: 0xc000...0xc00f),
        ], parts: [.init(home: 1 << 26, count: 16, now: 0xe0200)])

    @Test func whatIsNotedIsRead() throws {
        let words = try #require(Self.record.words)
        #expect(SlotRecord(words: words) == Self.record)
        #expect(SlotRecord(words: try #require(SlotRecord().words)) == SlotRecord())
    }

    @Test func tooMuchIsNotNoted() {
        let part = Self.record.parts[0]
        let most = SlotRecord.maximumParts
        #expect(SlotRecord(parts: Array(repeating: part, count: most)).words != nil)
        #expect(SlotRecord(parts: Array(repeating: part, count: most + 1)).words == nil)
    }

    @Test(arguments: [
        (0, 8), (0, 17 << 32), (1, 14), (2, UInt64.max), (3, 1 << 52), (4, 0), (7, 1 << 40), (8, 0), (8, 1 << 32),
        (9, 1 << 40), (9, UInt64.max),
    ])
    func aRecordThatCannotBeIsRefused(word: Int, value: UInt64) throws {
        var words = try #require(Self.record.words)
        words[word] = value
        #expect(SlotRecord(words: words) == nil)
    }

    /// Whatever the words, nothing leaves what a processor can address.
    @Test func noWordsLeadBeyondMemory() {
        var random = SplitMix(seed: 5)
        for _ in 0..<20_000 {
            let words = (0..<SlotRecord.wordCount).map { index -> UInt64 in
                let small = UInt64.random(in: 0...17, using: &random)
                if index == 0 { return small / 2 | UInt64.random(in: 0...17, using: &random) << 32 }
                return [small, 1 << 40, 1 << 52 - 1, .max, 0xe0000].randomElement(using: &random) ?? small
            }
            guard let record = SlotRecord(words: words) else { continue }
            for place in record.places { #expect(place.range.upperBound < SlotRecord.addressSpace && place.region < 7) }
            for part in record.parts { #expect((part.now + part.count) * 4096 <= SlotRecord.addressSpace) }
        }
    }

    // MARK: Whose it is

    @Test func identitiesAreEqualOnlyWhenTheirTextsAre() {
        let texts = ["a", "b", "ab", "a ", String(repeating: "x", count: 48), String(repeating: "x", count: 47), "é"]
        for one in texts {
            for other in texts { #expect((SlotIdentity(one) == SlotIdentity(other)) == (one == other)) }
            #expect(SlotIdentity.words(of: SlotIdentity(one)) != SlotIdentity.words(of: nil))
            #expect(SlotIdentity.words(of: SlotIdentity(one)).count == SlotIdentity.words(of: nil).count)
        }
    }

    @Test(arguments: ["", String(repeating: "x", count: 49), "a\0"])
    func noIdentityIsEmptyOrTooLong(text: String) {
        #expect(SlotIdentity(text) == nil)
    }
}
