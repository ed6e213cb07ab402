import Device
import Testing

@testable import BochsDisplay

/// Video memory that grows and shrinks, and the frame rate.
@Suite struct QuotaTests {
    private func expectRefusal(
        _ changes: Quota, _ part: String, by driver: Driver, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let before = driver.display.quota
        let error = #expect(throws: QuotaError.self, sourceLocation: sourceLocation) {
            try driver.display.apply(changes)
        }
        #expect(
            error?.description.contains(part) == true, "\(error?.description ?? "")", sourceLocation: sourceLocation)
        #expect(driver.display.quota == before, sourceLocation: sourceLocation)
    }

    @Test(arguments: [("vram=3M", 4 << 20), ("vram=4M", 4 << 20), ("vram=3136K", 4 << 20), ("vram=16M", 16 << 20)])
    func theApertureIsTheLeastThatHoldsTheMemory(option: String, aperture: Int) throws {
        let driver = try Driver(option)
        #expect(driver.display.bars[0].layout.size == UInt64(aperture))
        let limit = try #require(driver.display.quota.videoMemory)
        #expect(driver.display.bars[0].mapped == [0..<UInt64(limit)])
        #expect(driver[.videoMemory] == UInt64(limit >> 16))
    }

    @Test func theApertureMayBeLarger() throws {
        let driver = try Driver("vram=3M", "aperture=64M", "frame-rate=30")
        #expect(driver.display.bars[0].layout.size == 64 << 20)
        #expect(driver.display.quota == Quota(videoMemory: 3 << 20, frameRate: 30))
    }

    @Test func moreMemoryIsThereForTheNextMode() throws {
        let driver = try Driver("vram=4M", "aperture=16M")
        driver.setMode(2048, 2048, bits: 32)
        #expect(driver[.height] == 512)
        try driver.display.apply(Quota(videoMemory: 16 << 20))
        #expect(driver[.videoMemory] == 256)
        #expect(driver.display.bars[0].mapped == [0..<16 << 20])
        driver.setMode(2048, 2048, bits: 32)
        #expect(driver[.height] == 2048)
        #expect(driver.display.quota.videoMemory == 16 << 20)
    }

    @Test func lessIsPossibleDownToWhatTheModeUses() throws {
        let driver = try Driver("vram=16M")
        driver.setMode(1024, 768, bits: 32)
        driver[.yOffset] = 512
        let end = (512 + 768) * 4096
        expectRefusal(Quota(videoMemory: end - 65536), "1024x768 with 32 bits per pixel, uses \(end)", by: driver)
        try driver.display.apply(Quota(videoMemory: end))
        #expect(driver[.videoMemory] == UInt64(end >> 16))
        #expect(driver.display.scanout?.offset == 512 * 4096)
        var fitted = driver.display.state.dispi
        fitted.fit(end)
        #expect(fitted == driver.display.state.dispi, "the mode stays as it is")
        driver[.enable] = 0
        try driver.display.apply(Quota(videoMemory: 1 << 20))
        #expect(driver[.videoMemory] == 16)
    }

    @Test(
        arguments: [
            (32 << 20, "aperture, which is fixed, has 16777216"), (.max & ~0xffff, "aperture"),
            ((1 << 20) + 1, "multiple of 65536"), (65536, "at least 1048576"), (0, "at least"), (-65536, "at least"),
            (.min, "at least"), (.max, "multiple"),
        ] as [(Int, String)])
    func memoryThatCanNotBeIsExplained(size: Int, part: String) throws {
        expectRefusal(Quota(videoMemory: size), part, by: try Driver())
    }

    @Test(arguments: [-1, 241, .max, .min]) func aRateThatCanNotBeIsExplained(rate: Int) throws {
        expectRefusal(Quota(frameRate: rate), "\(rate): it must be from 0, for no limit, to 240", by: try Driver())
    }

    @Test func allChangesOrNone() throws {
        let driver = try Driver()
        expectRefusal(Quota(videoMemory: 8 << 20, frameRate: 1000), "1000", by: driver)
        expectRefusal(Quota(videoMemory: 1, frameRate: 10), "multiple", by: driver)
        try driver.display.apply(Quota(frameRate: 10))
        #expect(driver.display.quota == Quota(videoMemory: 16 << 20, frameRate: 10))
        try driver.display.apply(Quota(videoMemory: 8 << 20))
        #expect(driver.display.quota == Quota(videoMemory: 8 << 20, frameRate: 10))
    }

    @Test func memoryTakenAwayIsGivenBackAndComesBackEmpty() throws {
        let driver = try Driver("vram=16M")
        for page in 0..<16 { driver.draw([1, 2, 3], at: page << 20) }
        let before = try #require(driver.display.videoMemoryUsed)
        #expect(before >= 16 * 4096)
        try driver.display.apply(Quota(videoMemory: 4 << 20))
        #expect(driver.display.videoMemoryUsed == before / 4)
        #expect(driver.pixels(at: 3 << 20, count: 3) == [1, 2, 3])
        try driver.display.apply(Quota(videoMemory: 16 << 20))
        #expect(driver.display.videoMemoryUsed == before / 4)
        #expect(driver.pixels(at: 4 << 20, count: 3) == [0, 0, 0])
    }

    /// As a client that has mapped all of the file can.
    @Test func memoryBeyondTheLimitIsGivenBackWhenMoreIsUsedThanAllowed() throws {
        let driver = try Driver("vram=4M", "aperture=16M")
        let memory = driver.display.videoMemory
        let ones = [UInt8](repeating: 1, count: 4096)
        memory.replace(at: 0, with: ones.span.bytes)
        for offset in stride(from: 4 << 20, to: 9 << 20, by: 4096) { memory.replace(at: offset, with: ones.span.bytes) }
        #expect(try memory.memoryTaken() > 4 << 20)
        try driver.host.loop.dispatch(within: .seconds(60))
        #expect(try memory.memoryTaken() == 4096)
        // What is allowed stays.
        #expect(driver.display.videoMemoryUsed == 4096)
    }

    @Test func theBankStaysBelowThatManyBanks() throws {
        let driver = try Driver("vram=3M")
        driver[.bank] = 47
        #expect(driver[.bank] == 47)
        driver[.bank] = 48
        #expect(driver[.bank] == 0)
        driver[.bank] = 0xffff
        #expect(driver[.bank] < 48)
    }

    // MARK: State

    @Test func aStateIsRestoredUnderThePresentQuota() throws {
        let large = try Driver("vram=16M")
        large.setMode(1024, 768, bits: 32)
        let small = try Driver("vram=2M", "aperture=16M", "resolution=640x480")
        #expect(throws: StateError.self) { try small.display.restore(large.display.state) }
        try small.display.apply(Quota(videoMemory: 3 << 20))
        // What a state's memory had beyond the quota.
        small.draw([9], at: 8 << 20)
        try small.display.restore(large.display.state)
        #expect(small.pixels(at: 8 << 20, count: 1) == [0])
        #expect(small.display.quota.videoMemory == 3 << 20)
        #expect(small.display.scanout?.width == 1024)
    }

    @Test func aResetKeepsTheQuota() throws {
        let driver = try Driver()
        try driver.display.apply(Quota(videoMemory: 4 << 20, frameRate: 5))
        driver.display.reset()
        #expect(driver.display.quota == Quota(videoMemory: 4 << 20, frameRate: 5))
        #expect(driver[.videoMemory] == 64)
    }
}
