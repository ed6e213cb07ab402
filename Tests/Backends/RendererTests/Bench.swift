import CLinux
import Foundation
import Glibc
import Lab
import Linux
import Renderer
import Testing
import Waiting

/// A renderer on the loop of the test's own thread.
final class Bench {
    let loop: EventLoop
    let renderer: RendererProcess
    /// What was said when a renderer ended.
    private(set) var ends: [String] = []

    /// Whether a renderer can have Venus here: by the lab, and since this kernel has Landlock. With a sanitizer's runtime
    /// the stand-in for udmabuf can't be preloaded.
    static let canHaveVenus = Lab.hasVenus && clinux_landlock_version() > 0 && !ResourceLimit.isSanitized

    /// How long a test waits for anything.
    private static let limit = Duration.seconds(60)

    /// - Parameters:
    ///   - program: in the place of mediated-renderer, which it runs.
    ///   - window: how much memory is imported at most.
    init(
        _ kinds: RendererKinds = .virgl, program: String? = nil, window: UInt64 = 0, patience: Duration = .seconds(60),
        memory: UInt64 = 1 << 30
    ) throws {
        loop = try EventLoop()
        renderer = try RendererProcess(
            program: try program ?? CompanionProgram.path(of: "mediated-renderer"), kinds: kinds, renderNode: nil,
            window: window, loop: loop, memoryLimit: memory, patience: patience)
        renderer.onEnd = { [unowned self] in if let reason = $0 { ends.append(reason) } }
        try renderer.start()
    }

    /// Dispatches until something has come true.
    func wait(until isTrue: () -> Bool) throws {
        try loop.dispatch(until: isTrue)
    }

    /// Sends a command and waits for the answer; nil: the renderer has ended without one.
    @discardableResult
    func call(_ command: RendererCommand) throws -> RendererReply? {
        var answer: RendererReply??
        renderer.send(command) { answer = .some($0) }
        try wait { answer != nil }
        return answer ?? nil
    }

    /// Sends a command that must succeed.
    @discardableResult
    func done(_ command: RendererCommand, sourceLocation: SourceLocation = #_sourceLocation) throws -> [UInt8] {
        let reply = try call(command)
        #expect(reply?.status == .done, sourceLocation: sourceLocation)
        return reply?.data ?? []
    }

    /// Memory that the renderer sees too, and its window.
    func share(_ size: Int) throws -> (memory: MemoryFile, window: UInt32) {
        let memory = try MemoryFile(name: "test", size: size)
        return (memory, try renderer.share(memory.descriptor, offset: 0, size: UInt64(size)))
    }

    /// Takes memory away again, and waits until the renderer has let go of it.
    func withdraw(_ window: UInt32) throws {
        var isDone = false
        renderer.withdraw(window) { isDone = true }
        try wait { isDone }
    }

    /// The renderer's process ID: the launcher's child.
    func process() throws -> Int32 {
        try #require(try Self.children(of: launcher()).last)
    }

    /// The launcher's.
    func launcher() -> Int32 { renderer.launcherID }

    static func children(of parent: Int32) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.sorted().filter {
            process in
            guard let line = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
                let end = line.lastIndex(of: ")")
            else { return false }
            let fields = line[line.index(after: end)...].split(separator: " ")
            return fields.count > 1 && Int32(fields[1]) == parent && fields[0] != "Z"
        }
    }
}

/// Words of virglrenderer's command stream (virgl_protocol.h).
enum Stream {
    /// Makes a surface of a resource's first level, and draws to it from now on.
    static func target(_ resource: UInt32, format: UInt32, surface: UInt32) -> [UInt32] {
        [header(1, object: 8, length: 5), surface, resource, format, 0, 0]
            + [header(5, length: 3), 1, 0, surface]
    }

    /// Fills the target with a colour.
    static func clear(red: Float, green: Float, blue: Float, alpha: Float) -> [UInt32] {
        let colour = [red, green, blue, alpha].map(\.bitPattern)
        return [header(7, length: 8), 4] + colour + [0, 0, 0]
    }

    /// A fragment shader of a few hundred instructions, as text of TGSI.
    static func shader(_ handle: UInt32) -> [UInt32] {
        let instructions = (0..<200).map {
            "\($0): MAD TEMP[\($0 % 4)], TEMP[\(($0 + 1) % 4)], IMM[0], TEMP[\(($0 + 2) % 4)]\n"
        }
        let text =
            "FRAG\nDCL OUT[0], COLOR\nDCL TEMP[0..3]\nIMM[0] FLT32 { 1.0, 0.0, 0.5, \(handle).0}\n"
            + instructions.joined() + "200: MOV OUT[0], IMM[0]\n201: END\n"
        let bytes = Array(text.utf8) + [UInt8](repeating: 0, count: 4 - text.utf8.count % 4)
        let words = stride(from: 0, to: bytes.count, by: 4).map { start in
            bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        return [header(1, object: 4, length: UInt32(5 + words.count)), handle, 1, UInt32(bytes.count), 4000, 0] + words
    }

    private static func header(_ command: UInt32, object: UInt32 = 0, length: UInt32) -> UInt32 {
        command | object << 8 | length << 16
    }
}

extension [UInt32] {
    /// The words as bytes, little-endian.
    var bytes: [UInt8] { flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } } }
}
