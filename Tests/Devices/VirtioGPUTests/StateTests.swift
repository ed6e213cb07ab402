import CLinux
import Device
import Display
import JSON
import Testing

@testable import VirtioGPU

/// A processor's state as a value: what was saved goes on elsewhere.
@Suite struct StateTests {
    /// Everything that a state can have.
    private func busy() throws -> Driver {
        let driver = try Driver()
        driver.fill(from: 0, pixels: 4096)
        driver.create(1, 8, 6)
        driver.attach(1, [(0, 100), (200, 92)])
        driver.transfer(1, [0, 0, 8, 6])
        driver.show(1, [1, 1, 4, 4])
        driver.createBlob(2, size: 64, [(64, 64)])
        driver.showBlob(2, [0, 0, 4, 4], at: 1, width: 4, height: 4, stride: 16)
        driver.flush(2, [0, 0, 4, 4])
        driver.create(3, 64, 64, format: 1)
        driver.attach(3, [(0, 16384)])
        driver.transfer(3, [0, 0, 64, 64])
        driver.point(3, x: 5, y: -6, hotX: 7, hotY: 8)
        driver.send(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, wire([1, 0]))
        _ = driver.processor.heads[1].plug(try Resolution("800x600"))
        return driver
    }

    /// Takes a state over, through its JSON, memory included.
    private func restore(_ state: CommandProcessor.State, memory: Driver, into driver: Driver) throws {
        let text = try JSON(encoding: state).text
        let (from, to) = (memory.processor.memory.bytes, driver.processor.memory.bytes)
        to.replace(at: 0, with: from, at: 0, count: 1 << 20)
        try driver.processor.restore(JSON(parsing: text).decode())
    }

    @Test func whatWasSavedIsShownAndAnsweredElsewhere() throws {
        let first = try busy()
        let second = try Driver()
        second.create(77, 4, 4)
        try restore(first.processor.state, memory: first, into: second)
        #expect(second.processor.state == first.processor.state)
        #expect(second.picture() == first.picture())
        #expect(second.picture(1) == first.picture(1))
        #expect(second.picture()?[0][0] == 9 && second.picture(1)?[0][0] == 16)
        let (old, new) = try (#require(first.processor.heads[0].cursor), #require(second.processor.heads[0].cursor))
        #expect((new.x, new.y, new.hotX, new.hotY) == (5, -6, 7, 8))
        #expect(second.pixels(new.image) == first.pixels(old.image))
        #expect(second.processor.heads[1].resolution == (try Resolution("800x600")))
        // Its commands are answered as before, and its memory is taken.
        #expect(second.create(1, 4, 4) == Answered.invalidResource)
        #expect(second.unref(77) == Answered.invalidResource)
        second.fill(from: 0, pixels: 64, seed: 500)
        #expect(second.transfer(1, [0, 0, 8, 1]) == Answered.done)
        second.show(1, [0, 0, 8, 1])
        #expect(second.picture() == [Array(500..<508)])
        let uuids = [first, second].map {
            $0.send(header(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID) + wire([1, 0]))?.payload
        }
        #expect(uuids[0] == uuids[1])
        #expect(second.create(4, 512, 511) == Answered.outOfMemory)
        for id in 1...3 as ClosedRange<UInt32> { second.unref(id) }
        #expect(second.create(4, 512, 512) == Answered.done, "all of it is free again")
    }

    @Test func aRestoredPictureIsAllDamage() throws {
        let driver = try busy()
        let watch = driver.processor.heads[0].watchDamage()
        _ = watch.take()
        try driver.processor.restore(driver.processor.state)
        #expect(watch.take() == [Rectangle(x: 0, y: 0, width: 4, height: 4)])
    }

    @Test func aResetForgetsAllButTheMonitors() throws {
        let driver = try busy()
        driver.processor.reset()
        #expect(driver.processor.state.resources.isEmpty)
        #expect(driver.picture() == nil && driver.processor.heads[0].cursor == nil)
        #expect(driver.processor.heads[1].resolution == (try Resolution("800x600")))
        #expect(try driver.processor.memory.bytes.dataExtents().isEmpty)
        #expect(driver.create(1, 512, 512) == Answered.done)
    }

    /// Changes to a good state that make it one that can't be.
    static let spoilers: [(String, @Sendable (inout CommandProcessor.State) -> Void)] = [
        ("heads", { $0.heads.removeLast() }),
        ("pixels", { $0.heads[0].width = 639 }),
        ("pixels", { $0.heads[0].height = .max }),
        ("twice", { $0.resources.append($0.resources[0]) }),
        ("is none", { $0.resources[0].id = 0 }),
        ("doesn't have", { $0.resources.remove(at: 0) }),
        ("doesn't have", { $0.heads[0].source?.area.width = 9 }),
        ("doesn't have", { $0.heads[0].source?.area.x = -1 }),
        ("doesn't have", { $0.heads[0].source?.area.height = 0 }),
        ("doesn't have", { $0.heads[0].source?.area.y = .max }),
        ("doesn't have", { $0.heads[0].source?.resource = 2 }),
        ("doesn't have", { $0.heads[1].source?.blob = nil }),
        ("doesn't have", { $0.heads[1].source?.blob?.offset = 4 }),
        ("doesn't have", { $0.heads[1].source?.blob?.offset = .max }),
        ("doesn't have", { $0.heads[1].source?.blob?.stride = .max }),
        ("doesn't have", { $0.heads[1].source?.blob?.stride = 15 }),
        ("doesn't have", { $0.heads[1].source?.blob?.format = .rgb565 }),
        ("doesn't have", { $0.heads[1].source?.blob?.pixels = 0..<63 }),
        ("doesn't have", { $0.heads[1].source?.blob?.pixels = .min..<Int.max }),
        ("overlap", { $0.heads[1].source?.blob?.pixels = 0..<4096 }),
        ("overlap", { $0.heads[1].source?.blob?.pixels = 32768..<32769 + 4095 - 1 }),
        ("overlap", { $0.heads[1].source?.blob?.pixels = 1 << 30..<1 << 30 + 4096 }),
        ("don't fit", { $0.heads[1].source?.blob?.pixels = 1 << 20..<2 << 20 }),
        ("can't be", { $0.resources[0].resource = picture(width: 0) }),
        ("can't be", { $0.resources[0].resource = picture(format: .indexed8) }),
        ("can't be", { $0.resources[0].resource = picture(pixels: 32768..<32800) }),
        ("can't be", { $0.resources[0].resource = picture(pixels: .min..<Int.max) }),
        ("overlap", { $0.resources[0].resource = picture(pixels: 0..<4096) }),
        ("UUID", { $0.resources[0].resource.uuid = [1] }),
    ]

    private static func picture(
        width: Int = 8, format: PixelFormat = .xrgb8888, pixels: Range<Int> = 32768..<36864
    ) -> Resource {
        Resource(content: .image(format, width: width, height: 6, pixels: pixels))
    }

    @Test(arguments: spoilers.indices) func aStateThatCanNotBeIsRefused(index: Int) throws {
        let driver = try busy()
        var state = driver.processor.state
        let (part, spoil) = Self.spoilers[index]
        spoil(&state)
        let before = driver.processor.state
        let picture = driver.picture()
        let error = #expect(throws: StateError.self) { try driver.processor.restore(state) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        #expect(driver.processor.state == before)
        #expect(driver.picture() == picture)
    }

    @Test func backingsAreListsOfRanges() throws {
        let backing = try JSON(parsing: "[4096,100,8192,50]").decode(Backing.self)
        #expect(backing.pieces.map(\.address) == [4096, 8192] && backing.size == 150)
        #expect(try JSON(encoding: backing).text == "[4096,100,8192,50]")
        for text in ["[1]", "[18446744073709551615,2]", "[-1,2]", "[0,18446744073709551615,0,2]"] {
            #expect(throws: JSONError.self) { try JSON(parsing: text).decode(Backing.self) }
        }
    }
}
