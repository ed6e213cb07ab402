import Device
import EchoDevice
import FakeDriver
import FakeGuest
import Linux
import Synchronization
import Testing
import VFIOUserClient
import Virtio

/// The PCI function, the handshake and the registers. VIRTIO 1.2, sections 2, 3.1 and 4.1.
@Suite struct TransportTests {
    typealias Feature = VirtioDriver.Feature
    typealias Status = VirtioDriver.Status

    // MARK: The function

    @Test func theIdentityIsThatOfAModernDevice() throws {
        let bench = try Bench()
        #expect(try bench.driver.configuration(0x00, .word) == 0x1af4)
        #expect(try bench.driver.configuration(0x02, .word) == 0x1040 + 63)
        #expect(try bench.driver.configuration(0x08, .byte) == 1)
        #expect(try bench.driver.configuration(0x2e, .word) >= 0x40)
    }

    @Test func allStructuresAreInOneBARAndNothingIsMapped() throws {
        let bench = try Bench()
        let structures = bench.driver.structures
        #expect(structures.keys.sorted() == [1, 2, 3, 4, 5])
        for type: UInt8 in 1...4 { #expect(structures[type]?.bar == 4) }
        #expect(structures[4]?.length == 6)
        #expect(try bench.client.region(2).info.length == 0)
        for bar in 0..<6 { #expect(try bench.client.region(bar).file == nil) }
        let size = try bench.client.region(4).info.length
        for type: UInt8 in 1...4 {
            let structure = try #require(structures[type])
            #expect(structure.offset + UInt64(structure.length) <= size)
        }
    }

    @Test func eachQueueHasADoorbellOfItsOwn() throws {
        let bench = try Bench()
        let bells = try bench.client.doorbells(ofRegion: 4)
        let places = try (0..<2).map { try bench.driver.doorbell(of: $0).offset }
        #expect(bells.map(\.entry.offset) == places)
        #expect(Set(places).count == 2)
    }

    // MARK: Handshake

    @Test func whatIsOfferedDependsOnTheOptions() throws {
        let all: Feature = [
            .version1, .indirect, .eventIndex, .packed, .ringReset, .accessPlatform, Feature(rawValue: 1 << 3),
        ]
        for (options, missing) in [([], []), (["packed=off"], .packed), (["event-index=off"], .eventIndex)]
            as [([String], Feature)]
        {
            let bench = try Bench(options: options)
            #expect(try bench.driver.offered == all.subtracting(missing))
        }
    }

    @Test func featuresBeyondTheLastAreNone() throws {
        let bench = try Bench()
        for word: UInt64 in [2, 3, 4, 0xffff_ffff] {
            try bench.driver.set(.deviceFeatureSelect, word)
            #expect(try bench.driver[.deviceFeature] == 0)
        }
    }

    @Test func aDriverOfVersion1IsTaken() throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1]))
        #expect(try bench.driver.negotiate(bench.driver.offered))
        #expect(try bench.inside { $0.failure } == nil)
    }

    @Test(
        arguments: [[], [.indirect], [.version1, Feature(rawValue: 1 << 4)], [.version1, Feature(rawValue: 1 << 62)]]
            as [Feature])
    func featuresThatCantBeAreRefused(features: Feature) throws {
        let bench = try Bench()
        #expect(try !bench.driver.negotiate(features))
        try bench.driver.setDriverOK()
        #expect(try bench.driver[.status] == Status.acknowledge | Status.driver)
    }

    @Test func featuresBeyondTheLastAreRefused() throws {
        let bench = try Bench()
        try bench.driver.reset()
        try bench.driver.set(.driverFeatureSelect, 1)
        try bench.driver.set(.driverFeature, 1)
        try bench.driver.set(.driverFeatureSelect, 3)
        try bench.driver.set(.driverFeature, 1)
        try bench.driver.set(.status, Status.featuresOK)
        #expect(try bench.driver[.status] == 0)
    }

    @Test func featuresStandOnceTheyAreAgreedOn() throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1]))
        try bench.driver.set(.driverFeatureSelect, 0)
        try bench.driver.set(.driverFeature, 1 << 28)
        #expect(try bench.driver[.driverFeature] == 0)
    }

    @Test func onlyAResetTakesStatusBitsBack() throws {
        let bench = try Bench()
        _ = try bench.start(.split)
        try bench.driver.set(.status, Status.failed)
        #expect(
            try bench.driver[.status] == Status.acknowledge | Status.driver | Status.featuresOK | Status.driverOK
                | Status.failed)
        try bench.driver.reset()
        #expect(try bench.driver[.status] == 0)
    }

    @Test func nothingMovesBeforeTheDriverIsReady() throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1]))
        let queue = try bench.driver.queue(0)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == nil)
        try bench.driver.setDriverOK()
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() != nil)
    }

    @Test(arguments: RingKind.all)
    func whatWasNotifiedTooEarlyIsFoundWhenTheDriverIsReady(kind: RingKind) throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate(kind.features))
        let queue = try bench.driver.queue(0)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        try bench.driver.setDriverOK()
        #expect(try bench.collect(1, from: queue) == 1)
    }

    // MARK: Queues

    @Test func aQueueThatThereIsNotHasNoSize() throws {
        let bench = try Bench()
        #expect(try bench.driver[.queueCount] == 2)
        for (index, size) in [(0, 256), (1, 8), (2, 0), (0xffff, 0)] as [(UInt64, UInt64)] {
            try bench.driver.set(.queueSelect, index)
            #expect(try bench.driver[.queueSize] == size)
        }
        try bench.driver.set(.queueEnable, 1)
        try bench.driver.set(.queueDescriptors, 0x1000)
        #expect(try bench.driver[.queueEnable] == 0)
        #expect(try bench.driver[.queueDescriptors] == 0)
    }

    @Test func addressesAreWrittenWholeOrByHalves() throws {
        let bench = try Bench()
        try bench.driver.set(.queueSelect, 0)
        let common = try #require(bench.driver.structures[1])
        for (place, value) in [(0x28, 0x89ab_cdef), (0x2c, 0x0123_4567)] as [(UInt64, UInt64)] {
            try bench.client.store(value, region: common.bar, offset: common.offset + place, width: .dword)
        }
        #expect(try bench.driver[.queueDriver] == 0x0123_4567_89ab_cdef)
        try bench.driver.set(.queueDescriptors, 0xfedc_ba98_7654_3210)
        #expect(try bench.driver[.queueDescriptors] == 0xfedc_ba98_7654_3210)
    }

    @Test func aQueueIsNotEnabledBeforeTheFeaturesAreAgreedOn() throws {
        let bench = try Bench()
        try bench.driver.reset()
        try bench.driver.set(.queueSelect, 0)
        try bench.driver.set(.queueEnable, 1)
        #expect(try bench.driver[.queueEnable] == 0)
        #expect(try bench.driver.negotiate([.version1]))
        _ = try bench.driver.queue(0)
        #expect(try bench.driver[.queueEnable] == 1)
    }

    @Test func anEnabledQueueStandsStill() throws {
        let (bench, queue) = try Bench.ready(.split)
        try bench.driver.set(.queueSelect, 0)
        try bench.driver.set(.queueSize, 4)
        try bench.driver.set(.queueDescriptors, 0)
        try bench.driver.set(.queueEnable, 0)
        #expect(try bench.driver[.queueSize] == 8)
        #expect(try bench.driver[.queueDescriptors] == queue.descriptors)
        #expect(try bench.driver[.queueEnable] == 1)
        try bench.echo("still", by: queue)
    }

    @Test(arguments: RingKind.all)
    func aSingleQueueCanBeReset(kind: RingKind) throws {
        let (bench, queue) = try Bench.ready(kind, queue: 1)
        let target = bench.driver.allocate([0])
        let id = queue.add(.readable(bench.driver.allocate([1]), 1), .writable(target, 1))
        try bench.driver.notify(queue)
        try bench.driver.set(.queueSelect, 1)
        try bench.driver.set(.queueReset, 1)
        #expect(try bench.driver[.queueReset] == 0)
        #expect(try bench.driver[.queueEnable] == 0)
        #expect(try bench.inside { $0.driver.queueResets } == [0, 1])
        // What was in flight doesn't come back, and the queue can be used anew.
        try bench.driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(id))
        #expect(bench.driver.bytes(at: target, count: 1) == [0])
        let other = try bench.driver.queue(1)
        let next = other.add(.readable(bench.driver.allocate([5]), 1), .writable(target, 1))
        try bench.driver.notify(other)
        try bench.driver.setDeviceConfiguration(EchoDevice.completion, .byte, UInt64(next))
        #expect(other.takeUsed() == Used(id: next, count: 1))
        #expect(bench.driver.bytes(at: target, count: 1) == [5])
    }

    @Test func aQueueIsResetOnlyWhenThatWasAgreedOn() throws {
        let bench = try Bench()
        #expect(try bench.driver.negotiate([.version1]))
        _ = try bench.driver.queue(0)
        try bench.driver.set(.queueReset, 1)
        #expect(try bench.driver[.queueEnable] == 1)
    }

    // MARK: Vectors

    @Test func aVectorThatThereIsNotReadsBackAsNone() throws {
        let bench = try Bench()
        for field in [VirtioDriver.Field.configVector, .queueVector] {
            #expect(try bench.driver[field] == 0xffff)
            try bench.driver.set(field, 2)
            #expect(try bench.driver[field] == 2)
            try bench.driver.set(field, 3)
            #expect(try bench.driver[field] == 0xffff)
        }
    }

    @Test func aChangeOfTheConfigurationIsTold() throws {
        let (bench, _) = try Bench.ready(.split)
        let messages = try bench.useMessages()
        try bench.driver.set(.configVector, 0)
        let before = try bench.driver[.generation]
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.change.rawValue))
        #expect(try bench.driver[.generation] != before)
        #expect(messages.map { $0.consume() } == [1, 0, 0])
    }

    @Test func withMessagesTheInterruptStatusTellsOfTheConfigurationAlone() throws {
        let (bench, queue) = try Bench.ready(.split)
        _ = try bench.useMessages()
        try bench.echo("hello", by: queue)
        #expect(try bench.driver.interruptStatus() == 0)
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.change.rawValue))
        // Bit 3 of the PCI status would be the pin's.
        #expect(try bench.driver.configuration(0x06, .word) & 1 << 3 == 0)
        #expect(try bench.driver.interruptStatus() == 2)
        #expect(try bench.driver.interruptStatus() == 0)
    }

    // MARK: The device's configuration

    @Test func theConfigurationIsReadByAnyWidth() throws {
        let bench = try Bench()
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 0x1234_5678)
        #expect(try bench.driver.deviceConfiguration(2, .word) == 0x1234)
        #expect(try bench.driver.deviceConfiguration(3, .byte) == 0x12)
        #expect(try bench.driver.deviceConfiguration(0, .qword) == 0x1234_5678)
        #expect(try bench.driver.deviceConfiguration(8, .qword) == 0)
        #expect(try bench.driver.deviceConfiguration(4088, .qword) == 0)
    }

    @Test func theConfigurationIsWrittenUpToItsEnd() throws {
        let bench = try Bench()
        try bench.driver.setDeviceConfiguration(2, .word, 0xbeef)
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 0xbeef_5678)
        try bench.driver.setDeviceConfiguration(8, .dword, 0)
        try bench.driver.setDeviceConfiguration(0, .qword, 0)
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 0xbeef_5678)
    }

    // MARK: The window in configuration space

    @Test func everyRegisterIsReachedByConfigurationSpaceToo() throws {
        let bench = try Bench()
        let driver = bench.driver
        let window = try #require(driver.structures[5]).capability
        let common = try #require(driver.structures[1])
        func aim(_ place: UInt64, _ count: UInt64) throws {
            try driver.setConfiguration(window + 4, .byte, UInt64(common.bar))
            try driver.setConfiguration(window + 8, .dword, common.offset + place)
            try driver.setConfiguration(window + 12, .dword, count)
        }
        try aim(0x14, 1)
        try driver.setConfiguration(window + 16, .byte, 3)
        #expect(try driver[.status] == 3)
        #expect(try driver.configuration(window + 16, .byte) == 3)
        // The same value once more is a write all the same.
        try driver.set(.status, 0)
        try driver.setConfiguration(window + 16, .byte, 3)
        #expect(try driver[.status] == 3)
        try aim(0x12, 2)
        #expect(try driver.configuration(window + 16, .word) == 2)
        try aim(0, 4)
        try driver.setConfiguration(window + 16, .dword, 1)
        try aim(4, 4)
        #expect(try driver.configuration(window + 16, .dword) == (try driver.offered.rawValue >> 32))
    }

    @Test(arguments: [
        (bar: 4, offset: 0x14, count: 3), (4, 0x15, 2), (4, 0x14, 0), (4, 0x14, 8), (0, 0x14, 1), (6, 0x14, 1),
        (255, 0x14, 1), (4, 0x4000, 4), (4, 0xffff_fffc, 4), (4, 0x14, 0xffff_ffff),
    ])
    func aWindowOnNothingDoesNothing(bar: Int, offset: Int, count: Int) throws {
        let bench = try Bench()
        let driver = bench.driver
        let window = try #require(driver.structures[5]).capability
        try driver.setConfiguration(window + 4, .byte, UInt64(bar))
        try driver.setConfiguration(window + 8, .dword, UInt64(offset))
        try driver.setConfiguration(window + 12, .dword, UInt64(count))
        try driver.setConfiguration(window + 16, .dword, 0x0303_0303)
        #expect(try driver.configuration(window + 16, .dword) == 0x0303_0303)
        #expect(try driver[.status] == 0)
    }

    // MARK: Reset

    @Test func aResetForgetsEverything() throws {
        let (bench, queue) = try Bench.ready(.split, queue: 1)
        try bench.driver.set(.configVector, 1)
        try bench.driver.setDeviceConfiguration(0, .dword, 77)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        try bench.driver.reset()
        #expect(try bench.driver[.configVector] == 0xffff)
        #expect(try bench.driver.deviceConfiguration(0, .dword) == 0x1234_5678)
        #expect(try bench.inside { $0.driver.keptIDs } == [])
        try bench.driver.set(.queueSelect, 1)
        #expect(try bench.driver[.queueEnable] == 0)
        #expect(try bench.driver[.queueVector] == 0xffff)
        #expect(try bench.driver[.queueDescriptors] == 0)
        try bench.echo("again", by: bench.start(.packed))
    }

    @Test func aResetOfTheFunctionIsOneOfTheDevice() throws {
        let (bench, queue) = try Bench.ready(.split)
        try bench.client.reset()
        #expect(try bench.driver[.status] == 0)
        #expect(try bench.driver[.queueEnable] == 0)
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == nil)
    }

    @Test func aDeviceThatNeedsAResetSaysSo() throws {
        let (bench, queue) = try Bench.ready(.split)
        let messages = try bench.useMessages()
        try bench.driver.set(.configVector, 0)
        try bench.driver.setDeviceConfiguration(EchoDevice.action, .byte, UInt64(EchoDevice.Action.fail.rawValue))
        #expect(try bench.driver.needsReset)
        #expect(messages.map { $0.consume() } == [1, 0, 0])
        queue.add(.readable(bench.driver.allocate([1]), 1))
        try bench.driver.notify(queue)
        #expect(queue.takeUsed() == nil)
        try bench.echo("recovered", by: bench.start(.split))
    }

    @Test func theAdministratorIsToldWhy() throws {
        let (bench, _) = try Bench.ready(.split)
        let reports = Mutex<[String]>([])
        bench.device.onThread { function, _ in
            function.host.report = { line in reports.withLock { $0.append(line) } }
        }
        try bench.driver.set(.queueSelect, 1)
        try bench.driver.set(.queueSize, 9)
        for _ in 0..<2 { try bench.driver.set(.queueEnable, 1) }
        #expect(try bench.driver.needsReset)
        #expect(
            reports.withLock { $0 } == [
                "The device stands still until the guest's driver resets it. "
                    + "A queue can't have 9 entries; its maximum is 8."
            ])
    }
}
