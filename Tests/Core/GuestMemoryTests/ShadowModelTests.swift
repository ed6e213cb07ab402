import GuestMemory
import Linux
import Testing
import SeededRandom

/// An address space against a list that does the same the plain way.
@Suite struct ShadowModelTests {
    private struct Map {
        var address: UInt64
        var pages: UInt64
        var access: DMAAccess
        var file: Int
        var offset: UInt64

        func contains(_ page: UInt64) -> Bool { address <= page && page < address + pages }
    }

    /// Addresses and offsets in pages.
    private struct Model {
        var maps: [Map] = []
        var contents: [[UInt8]]

        func map(at page: UInt64) -> Map? { maps.first { $0.contains(page) } }
    }

    @Test(arguments: [
        (seed: 1, pages: 64, steps: 20_000), (seed: 2, pages: 1024, steps: 10_000),
        (seed: 3, pages: 8192, steps: 6_000),
    ])
    func randomStepsAgreeWithThePlainList(seed: UInt64, pages: UInt64, steps: Int) throws {
        var random = SplitMix(seed: seed)
        let filePages: UInt64 = 16
        let files = try (0..<3).map { _ in try GuestFile(pages: Int(filePages)) }
        let memory = AddressSpace()
        var model = Model(contents: files.map { _ in [UInt8](repeating: 0, count: Int(filePages * page)) })
        var outcomes: [String: Int] = [:]

        for step in 0..<steps {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3:
                let map = Map(
                    address: .random(in: 0..<pages, using: &random), pages: .random(in: 1...4, using: &random),
                    access: [[.read], [.write], [.read, .write]].randomElement(using: &random)!,
                    file: .random(in: 0..<3, using: &random), offset: .random(in: 0...filePages - 4, using: &random))
                let collides = model.maps.contains {
                    $0.address < map.address + map.pages && map.address < $0.address + $0.pages
                }
                do {
                    try memory.map(
                        map.address * page, pages: map.pages, of: files[map.file], at: map.offset * page, map.access)
                    #expect(!collides, "step \(step)")
                    model.maps.append(map)
                    outcomes["mapped", default: 0] += 1
                } catch let error as MapError {
                    #expect(collides && error.errno == .fileExists, "step \(step): \(error)")
                    outcomes["overlap", default: 0] += 1
                }
            case 4...5:
                var map = Map(
                    address: .random(in: 0..<pages, using: &random), pages: .random(in: 1...4, using: &random),
                    access: [], file: 0, offset: 0)
                if Bool.random(using: &random), let known = model.maps.randomElement(using: &random) { map = known }
                let index = model.maps.firstIndex { $0.address == map.address && $0.pages == map.pages }
                do {
                    #expect(try memory.unmap(map.address * page, pages: map.pages) == .done)
                    try #require(index != nil, "step \(step)")
                    model.maps.remove(at: index!)
                    outcomes["unmapped", default: 0] += 1
                } catch let error as MapError {
                    #expect(index == nil && error.errno == .noSuchFileOrDirectory, "step \(step): \(error)")
                    outcomes["not mapped", default: 0] += 1
                }
            default:
                let start = UInt64.random(in: 0..<pages * page, using: &random)
                let count = Int.random(in: 1...3 * Int(page), using: &random)
                let writes = Bool.random(using: &random)
                let outcome = try access(
                    memory, &model, start, count,
                    writing: writes ? UInt8.random(in: .min ... .max, using: &random) : nil)
                outcomes[outcome, default: 0] += 1
            }
            #expect(memory.mapCount == model.maps.count)
        }
        for (file, contents) in zip(files, model.contents) {
            #expect(file.bytes(at: 0, count: contents.count) == contents)
        }
        for outcome in ["mapped", "overlap", "unmapped", "not mapped", "moved", "hole", "denied"] {
            #expect(outcomes[outcome, default: 0] > 0, "no step was '\(outcome)'")
        }
        memory.unmapAll()
        #expect(files.allSatisfy { $0.mappingCount == 0 })
    }

    /// Does one access both ways, page by page in the model, and compares.
    private func access(
        _ memory: AddressSpace, _ model: inout Model, _ start: UInt64, _ count: Int, writing value: UInt8?
    ) throws -> String {
        let wanted: DMAAccess = value == nil ? .read : .write
        let end = start + UInt64(count)
        var expected: [UInt8] = []
        var failure: DMAError?
        var address = start
        while address < end, failure == nil {
            let next = min(end, (address / page + 1) * page)
            if let map = model.map(at: address / page) {
                if map.access.contains(wanted) {
                    let offset = Int((map.offset + address / page - map.address) * page + address % page)
                    let piece = offset..<offset + Int(next - address)
                    if let value {
                        model.contents[map.file].replaceSubrange(piece, with: repeatElement(value, count: piece.count))
                    }
                    expected += model.contents[map.file][piece]
                } else {
                    failure = .denied(address: address, access: wanted)
                }
            } else {
                failure = .notMapped(address: address)
            }
            address = next
        }
        do {
            if let value {
                try memory.write([UInt8](repeating: value, count: count), at: start)
                #expect(failure == nil)
            } else {
                #expect(try memory.bytes(at: start, count: count) == expected)
            }
            return "moved"
        } catch let error as DMAError {
            #expect(error == failure)
            if case .notMapped = error { return "hole" }
            return "denied"
        }
    }
}
