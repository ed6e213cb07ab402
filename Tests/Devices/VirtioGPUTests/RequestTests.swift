import CLinux
import Display
import Testing

@testable import VirtioGPU

/// What all commands have in common: headers, fences, lengths.
@Suite struct RequestTests {
    @Test func structuresHaveTheSpecificationsSizes() {
        #expect(MemoryLayout<virtio_gpu_ctrl_hdr>.size == 24)
        #expect(MemoryLayout<virtio_gpu_resource_create_2d>.size == 40)
        #expect(MemoryLayout<virtio_gpu_resource_unref>.size == 32)
        #expect(MemoryLayout<virtio_gpu_set_scanout>.size == 48)
        #expect(MemoryLayout<virtio_gpu_resource_flush>.size == 48)
        #expect(MemoryLayout<virtio_gpu_transfer_to_host_2d>.size == 56)
        #expect(MemoryLayout<virtio_gpu_resource_attach_backing>.size == 32)
        #expect(MemoryLayout<virtio_gpu_mem_entry>.size == 16)
        #expect(MemoryLayout<virtio_gpu_resource_create_blob>.size == 56)
        #expect(MemoryLayout<virtio_gpu_set_scanout_blob>.size == 96)
        #expect(MemoryLayout<virtio_gpu_update_cursor>.size == 56)
        #expect(MemoryLayout<virtio_gpu_resp_display_info>.size == 408)
        #expect(MemoryLayout<virtio_gpu_resp_edid>.size == 1056)
        #expect(MemoryLayout<virtio_gpu_resp_resource_uuid>.size == 40)
    }

    @Test func aFenceComesBackWithTheResponse() throws {
        let driver = try Driver()
        let fence: UInt64 = 0x1122_3344_5566_7788
        var request = header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO, flags: 1, fence: fence)
        request[16] = 9
        request[20] = 5
        let answer = driver.send(request)
        #expect(answer?.flags == 1)
        #expect(answer?.fence == fence)
        #expect(answer?.context == 9)
        #expect(answer?.ring == 0, "the flag that makes it count isn't there")
        request[4] = 3
        #expect(driver.send(request)?.flags == 3)
        #expect(driver.send(request)?.ring == 5)
        // Refusals carry it too.
        request[0] = 0xff
        #expect(driver.send(request)?.fence == fence)
        request[4] = 0xfe
        let unfenced = driver.send(request)
        #expect(unfenced?.flags == 0 && unfenced?.fence == 0)
    }

    @Test(arguments: [0, 0x0ff, 0x10e, 0x200, 0x201, 0x204, 0x207, 0x208, 0x209, 0x300, 0x301, 0x1100, UInt32.max])
    func unknownCommandsAreRefused(type: UInt32) throws {
        let request = wire([type]) + [UInt8](repeating: 0, count: 200)
        #expect(try Driver().send(request)?.type == Answered.unspecified)
    }

    @Test func eachQueueHasItsOwnCommands() throws {
        let driver = try Driver()
        #expect(
            driver.send(VIRTIO_GPU_CMD_GET_DISPLAY_INFO, [UInt8](repeating: 0, count: 64), from: .cursor)
                == Answered.unspecified)
        #expect(driver.send(VIRTIO_GPU_CMD_MOVE_CURSOR, [UInt8](repeating: 0, count: 64)) == Answered.unspecified)
    }

    static let sizes: [(virtio_gpu_ctrl_type, Int)] = [
        (VIRTIO_GPU_CMD_GET_EDID, 8), (VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 16), (VIRTIO_GPU_CMD_RESOURCE_UNREF, 8),
        (VIRTIO_GPU_CMD_SET_SCANOUT, 24), (VIRTIO_GPU_CMD_RESOURCE_FLUSH, 24),
        (VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 32), (VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 8),
        (VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 8), (VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, 8),
        (VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, 32), (VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, 72),
    ]

    @Test func aRequestThatIsCutOffIsRefused() throws {
        let driver = try Driver()
        for (type, size) in Self.sizes {
            for count in [0, 1, size - 1] {
                let answer = driver.send(type, [UInt8](repeating: 0xff, count: count))
                #expect(answer == Answered.unspecified, "\(type) with \(count) bytes")
            }
            #expect(driver.send(type, [UInt8](repeating: 0xff, count: size)) != Answered.unspecified, "\(type)")
        }
        for type in [VIRTIO_GPU_CMD_UPDATE_CURSOR, VIRTIO_GPU_CMD_MOVE_CURSOR] {
            let body = [UInt8](repeating: 0, count: 31)
            #expect(driver.send(type, body, from: .cursor) == Answered.unspecified)
            #expect(driver.send(type, body + [0], from: .cursor) == Answered.done)
        }
    }

    @Test(arguments: 0..<24) func aHeaderThatIsCutOffIsRefused(count: Int) throws {
        let request = Array(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO, flags: 1, fence: 7)[..<count])
        let answer = try Driver().send(request)
        #expect(answer?.type == Answered.unspecified)
        #expect(answer?.flags == 0 && answer?.fence == 0)
    }

    @Test func withoutRoomForAHeaderNothingIsDone() throws {
        let driver = try Driver()
        let create = header(VIRTIO_GPU_CMD_RESOURCE_CREATE_2D) + wire([1, 2, 4, 4])
        #expect(driver.send(create, room: 23) == nil)
        #expect(driver.send(create, room: 24)?.type == Answered.done, "it didn't exist yet")
    }

    @Test func withoutRoomForTheAnswerThereIsARefusal() throws {
        let driver = try Driver()
        driver.create(1, 4, 4)
        for (request, size) in [
            (header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO), 408), (header(VIRTIO_GPU_CMD_GET_EDID) + wire([0, 0]), 1056),
            (header(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID) + wire([1, 0]), 40),
        ] {
            #expect(driver.send(request, room: size - 1)?.type == Answered.unspecified)
            #expect(driver.send(request, room: size - 1)?.payload == [])
            #expect(driver.send(request, room: size)?.payload.count == size - 24)
        }
    }

    @Test func cursorCommandsNeedNoRoom() throws {
        let driver = try Driver()
        driver.create(1, 64, 64)
        let request = header(VIRTIO_GPU_CMD_UPDATE_CURSOR) + wire([0, 3, 4, 0, 1, 0, 0, 0])
        #expect(driver.send(request, from: .cursor, room: 0) == nil)
        #expect(driver.processor.heads[0].cursor?.x == 3)
        #expect(driver.send([], from: .cursor, room: 0) == nil)
    }

    @Test func withoutVirglThereAreNoCapabilitySets() throws {
        let driver = try Driver()
        #expect(driver.send(VIRTIO_GPU_CMD_GET_CAPSET_INFO, wire([0, 0])) == Answered.invalidParameter)
        #expect(driver.send(VIRTIO_GPU_CMD_GET_CAPSET, wire([1, 0])) == Answered.invalidParameter)
    }

    @Test func whatWasNotNegotiatedIsRefused() throws {
        let driver = try Driver(features: [])
        driver.create(1, 4, 4)
        #expect(driver.send(VIRTIO_GPU_CMD_GET_EDID, wire([0, 0])) == Answered.unspecified)
        #expect(driver.send(VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, wire([1, 0])) == Answered.unspecified)
        #expect(driver.createBlob(2, size: 4096, [(0, 4096)]) == Answered.unspecified)
        #expect(driver.showBlob(1, [0, 0, 4, 4], width: 4, height: 4, stride: 16) == Answered.unspecified)
    }

    // MARK: Monitors

    @Test func headsAreSideBySide() throws {
        let driver = try Driver(heads: 3)
        _ = driver.processor.heads[0].plug(try Resolution("800x600"))
        _ = driver.processor.heads[1].plug(nil)
        let answer = try #require(driver.send(header(VIRTIO_GPU_CMD_GET_DISPLAY_INFO)))
        #expect(answer.type == Answered.displayInfo)
        let numbers = stride(from: 0, to: 384, by: 4).map { word(answer.payload, $0) }
        #expect(numbers[..<18] == [0, 0, 800, 600, 1, 0, 800, 0, 1024, 768, 0, 0, 800, 0, 1024, 768, 1, 0])
        #expect(numbers[18...].allSatisfy { $0 == 0 })
    }

    @Test func eachMonitorDescribesItself() throws {
        let driver = try Driver()
        _ = driver.processor.heads[1].plug(try Resolution("5120x2880"))
        for (head, resolution) in [(UInt32(0), (1024, 768)), (1, (5120, 2880))] {
            let answer = try #require(driver.send(header(VIRTIO_GPU_CMD_GET_EDID) + wire([head, 0])))
            let edid = EDID(width: resolution.0, height: resolution.1, refresh: 60).bytes
            #expect(answer.type == Answered.edid)
            #expect(word(answer.payload, 0) == UInt32(edid.count))
            #expect(answer.payload[8..<8 + edid.count] == edid[...])
            #expect(answer.payload.count == 1032 && answer.payload[(8 + edid.count)...].allSatisfy { $0 == 0 })
        }
        #expect(driver.send(VIRTIO_GPU_CMD_GET_EDID, wire([2, 0])) == Answered.invalidScanout)
    }
}
