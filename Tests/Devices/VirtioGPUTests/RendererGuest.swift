import CLinux
import Foundation
import Testing

@testable import VirtioGPU

/// Numbers of virglrenderer and of the specification.
enum RendererNumber {
    /// PIPE_TEXTURE_2D
    static let texture2D: UInt32 = 2
    /// VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
    static let bgra: UInt32 = 1
    /// VIRGL_BIND_RENDER_TARGET
    static let renderTarget: UInt32 = 1 << 1
    /// VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
    static let invalidContext: UInt32 = 0x1204
}

/// A guest's driver that draws by a real virglrenderer with Mesa's software driver: its requests by name.
protocol RendererGuest {}

extension RendererGuest {
    typealias Machine = DeviceTests.Machine

    /// A machine whose driver takes 3D.
    func machine(_ options: String...) throws -> Machine {
        let all = ["renderer=virgl"] + options
        switch all.count {
        case 1: return try Machine(all[0], features: 0b11111)
        default: return try Machine(all[0], all[1], features: 0b11111)
        }
    }

    // MARK: Requests

    /// The header of a command in a context.
    func header(_ type: virtio_gpu_ctrl_type, context: UInt32, flags: UInt32 = 0, fence: UInt64 = 0) -> [UInt8] {
        wire([type.rawValue, flags]) + wire(fence) + wire([context, 0])
    }

    func createContext(_ id: UInt32, initialization: UInt32 = 0) -> [UInt8] {
        header(VIRTIO_GPU_CMD_CTX_CREATE, context: id) + wire([4, initialization]) + Array("test".utf8)
            + [UInt8](repeating: 0, count: 60)
    }

    func createResource(
        _ id: UInt32, width: UInt32 = 16, height: UInt32 = 8, target: UInt32 = RendererNumber.texture2D,
        format: UInt32 = RendererNumber.bgra
    ) -> [UInt8] {
        header(VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, context: 0)
            + wire([id, target, format, RendererNumber.renderTarget, width, height, 1, 1, 0, 0, 0, 0])
    }

    func attach(_ id: UInt32, to context: UInt32) -> [UInt8] {
        header(VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, context: context) + wire([id, 0])
    }

    func submit(
        _ words: [UInt32], to context: UInt32, size: Int? = nil, flags: UInt32 = 0, fence: UInt64 = 0
    ) -> [UInt8] {
        header(VIRTIO_GPU_CMD_SUBMIT_3D, context: context, flags: flags, fence: fence)
            + wire([UInt32(size ?? words.count * 4), 0]) + wire(words)
    }

    func transfer(
        _ type: virtio_gpu_ctrl_type, _ id: UInt32, context: UInt32 = 0, width: UInt32 = 16, height: UInt32 = 8
    ) -> [UInt8] {
        header(type, context: context) + wire([0, 0, 0, width, height, 1]) + wire(UInt64(0))
            + wire([id, 0, width &* 4, 0])
    }

    /// The response's type.
    func answer(_ machine: Machine, _ request: [UInt8]) throws -> UInt32 {
        word(try machine.send(request, room: 24), 0)
    }

    func done(
        _ machine: Machine, _ request: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(try answer(machine, request) == Answered.done, sourceLocation: sourceLocation)
    }

    /// Words of virglrenderer's command stream (virgl_protocol.h): makes a surface of a resource's first level, draws
    /// to it from now on, and fills it with a colour.
    func clear(_ id: UInt32, red: Float, green: Float, blue: Float, surface: UInt32 = 3) -> [UInt32] {
        func header(_ command: UInt32, object: UInt32 = 0, length: UInt32) -> UInt32 {
            command | object << 8 | length << 16
        }
        let colour = [red, green, blue, 1].map(\.bitPattern)
        return [header(1, object: 8, length: 5), surface, id, RendererNumber.bgra, 0, 0]
            + [header(5, length: 3), 1, 0, surface]
            + [header(7, length: 8), 4] + colour + [0, 0, 0]
    }

    /// Makes context 1 and in it resource 7, of 16 by 8 pixels, with backing.
    ///
    /// - Returns: where the backing is.
    @discardableResult
    func setUp(_ machine: Machine) throws -> UInt64 {
        let backing = machine.driver.allocate([UInt8](repeating: 0, count: 512))
        try done(machine, createContext(1))
        try done(machine, createResource(7))
        let entry = wire([7, 1]) + wire(backing) + wire([512, 0])
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, context: 0) + entry)
        try done(machine, attach(7, to: 1))
        return backing
    }

    func show(_ machine: Machine) throws {
        let area = wire([0, 0, 16, 8])
        try done(machine, header(VIRTIO_GPU_CMD_SET_SCANOUT, context: 0) + area + wire([0, 7]))
        try done(machine, header(VIRTIO_GPU_CMD_RESOURCE_FLUSH, context: 0) + area + wire([7, 0]))
    }

    /// The renderer's process ID: the launcher's child.
    func renderer(of machine: Machine) throws -> Int32 {
        let launcher = try #require(machine.gpu.driver.processor.rendering).process.launcherID
        return try machine.wait {
            let path = "/proc/\(launcher)/task/\(launcher)/children"
            return try String(contentsOfFile: path, encoding: .utf8).split(separator: " ").last.flatMap { Int32($0) }
        }
    }
}
