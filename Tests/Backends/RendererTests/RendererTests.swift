import Foundation
import Glibc
import Linux
import Renderer
import Testing
import Worker

/// A real virglrenderer with Mesa's software driver, in a process of its own.
@Suite(.serialized) struct RendererTests {
    private static let texture2D: UInt32 = 2
    private static let bgra: UInt32 = 1
    private static let renderTarget: UInt32 = 1 << 1

    private func picture(_ id: UInt32, width: UInt32 = 16, height: UInt32 = 8) -> RendererCommand.ResourceParameters {
        RendererCommand.ResourceParameters(
            id: id, target: Self.texture2D, format: Self.bgra, bind: Self.renderTarget, width: width, height: height)
    }

    private func bytes(_ memory: MemoryFile, _ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        memory.copy(at: 0, count: count, into: &raw)
        return bytes
    }

    @Test func aCommandStreamDrawsPixels() throws {
        let bench = try Bench()
        let (memory, window) = try bench.share(4096)
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: Array("test".utf8)))
        try bench.done(.createResource(picture(7)))
        try bench.done(.attachResource(context: 1, resource: 7))
        let stream =
            Stream.target(7, format: Self.bgra, surface: 3) + Stream.clear(red: 1, green: 0.5, blue: 0, alpha: 1)
        try bench.done(.submit(context: 1, commands: stream.bytes))
        try bench.done(.fence)
        let size = 16 * 8 * 4
        try bench.done(
            .readPixels(
                resource: 7, box: .init(x: 0, y: 0, width: 16, height: 8), stride: 64,
                to: .init(window: window, offset: 0, size: UInt64(size))))
        let pixels = bytes(memory, size)
        for pixel in stride(from: 0, to: size, by: 4) {
            #expect(pixels[pixel] == 0 && pixels[pixel + 2] == 255 && pixels[pixel + 3] == 255)
            #expect((127...128).contains(pixels[pixel + 1]))
        }
    }

    @Test func pixelsMoveBetweenBackingAndResource() throws {
        let bench = try Bench()
        let (memory, window) = try bench.share(4096)
        let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        memory.replace(at: 0, with: pattern.span.bytes)
        try bench.done(.createResource(picture(7)))
        // Two pieces in the wrong order of addresses.
        try bench.done(
            .attachBacking(
                resource: 7,
                pieces: [.init(window: window, offset: 256, size: 256), .init(window: window, offset: 0, size: 256)]))
        let all = RendererCommand.Box(x: 0, y: 0, width: 16, height: 8)
        try bench.done(.transferToHost(.init(context: 0, resource: 7, box: all, stride: 64)))
        memory.replace(at: 0, with: [UInt8](repeating: 0, count: 512).span.bytes)
        try bench.done(.transferFromHost(.init(context: 0, resource: 7, box: all, stride: 64)))
        #expect(bytes(memory, 512) == pattern)
    }

    @Test func aFenceOfARingIsDoneWithWhatWasSubmittedThere() throws {
        let bench = try Bench()
        try bench.done(.createContext(id: 1, capabilitySet: 2, name: []))
        try bench.done(.createResource(picture(7)))
        try bench.done(.attachResource(context: 1, resource: 7))
        let stream =
            Stream.target(7, format: Self.bgra, surface: 3) + Stream.clear(red: 1, green: 0.5, blue: 0, alpha: 1)
        try bench.done(.submit(context: 1, commands: stream.bytes))
        try bench.done(.contextFence(context: 1, ring: 0))
        #expect(try bench.call(.contextFence(context: 2, ring: 0))?.status == .noSuchObject)
    }

    @Test func nobodyWaitsForTheFenceOfAContextThatHasGone() throws {
        let bench = try Bench()
        for id in 1...20 as ClosedRange<UInt32> {
            var answers = 0
            bench.renderer.send(.createContext(id: id, capabilitySet: 2, name: []))
            bench.renderer.send(.contextFence(context: id, ring: 0)) { if $0?.status == .done { answers += 1 } }
            bench.renderer.send(.destroyContext(id: id))
            try bench.wait { answers == 1 }
        }
    }

    @Test func bothCapabilitySetsHaveContents() throws {
        let bench = try Bench()
        #expect(try bench.done(.capabilitySet(id: 1, version: 1)).count > 100)
        #expect(try bench.done(.capabilitySet(id: 2, version: 2)).count > 100)
        #expect(try bench.call(.capabilitySet(id: 77, version: 1))?.status == .noSuchObject)
    }

    @Test func whatDoesNotExistIsRefused() throws {
        let bench = try Bench()
        let box = RendererCommand.Box(x: 0, y: 0, width: 1, height: 1)
        let nowhere = MemoryPiece(window: 99, offset: 0, size: 4)
        #expect(try bench.call(.submit(context: 5, commands: [0, 0, 0, 0]))?.status != .done)
        #expect(try bench.call(.submit(context: 5, commands: [1, 2, 3]))?.status == .invalid)
        #expect(try bench.call(.transferToHost(.init(context: 0, resource: 9, box: box)))?.status != .done)
        #expect(try bench.call(.attachBacking(resource: 9, pieces: [nowhere]))?.status == .noSuchObject)
        #expect(
            try bench.call(.readPixels(resource: 9, box: box, stride: 4, to: nowhere))?.status == .noSuchObject)
        try bench.done(.createResource(picture(7)))
        #expect(try bench.call(.createResource(picture(7, width: 0)))?.status != .done)
        // It has no backing to move from.
        #expect(try bench.call(.transferToHost(.init(context: 0, resource: 7, box: box)))?.status != .done)
        #expect(bench.renderer.isRunning)
    }

    @Test func piecesOutsideTheirWindowAreRefused() throws {
        let bench = try Bench()
        let (_, window) = try bench.share(4096)
        try bench.done(.createResource(picture(7)))
        for (offset, size) in [(0, 4097), (4096, 1), (UInt64.max, 1), (1, UInt64.max), (0, 0)] as [(UInt64, UInt64)] {
            let piece = MemoryPiece(window: window, offset: offset, size: size)
            #expect(try bench.call(.attachBacking(resource: 7, pieces: [piece]))?.status == .noSuchObject)
        }
    }

    @Test func memoryThatIsTakenAwayIsUsedNoMore() throws {
        let bench = try Bench()
        let (_, window) = try bench.share(4096)
        let piece = MemoryPiece(window: window, offset: 0, size: 512)
        let all = RendererCommand.Box(x: 0, y: 0, width: 16, height: 8)
        try bench.done(.createResource(picture(7)))
        try bench.done(.attachBacking(resource: 7, pieces: [piece]))
        try bench.withdraw(window)
        #expect(try bench.call(.transferToHost(.init(context: 0, resource: 7, box: all)))?.status != .done)
        #expect(try bench.call(.attachBacking(resource: 7, pieces: [piece]))?.status == .noSuchObject)
    }

    @Test func aRendererIsConfinedAndCanStillDraw() throws {
        let bench = try Bench()
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: []))
        try bench.done(.createResource(picture(7)))
        try bench.done(.fence)
        let status = try String(contentsOfFile: "/proc/\(bench.process())/status", encoding: .utf8)
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
            #expect(status.contains(line), "\(line)")
        }
        let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(bench.process())/task")
        for thread in threads {
            let path = "/proc/\(try bench.process())/task/\(thread)/status"
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains("Seccomp:\t2"))
        }
        let limits = try String(contentsOfFile: "/proc/\(bench.process())/limits", encoding: .utf8)
        let file = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max file size") })
        #expect(file.split(separator: " ")[3...4] == ["536870912", "536870912"])
        let launcher = try String(contentsOfFile: "/proc/\(bench.launcher())/status", encoding: .utf8)
        #expect(launcher.contains("NoNewPrivs:\t1") && launcher.contains("CapEff:\t0000000000000000"))
    }

    @Test func aRendererHasNoDescriptorThatIsNotMeantForIt() throws {
        // Stays open in programs, as a socket does that the device process was given by its daemon.
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let secret = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(ends[0])")
        let bench = try Bench()
        try bench.done(.fence)
        for process in [bench.launcher(), try bench.process()] {
            let folder = "/proc/\(process)/fd"
            let open = try FileManager.default.contentsOfDirectory(atPath: folder).compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
            }
            #expect(open.count > 3 && !open.contains(secret))
            // What it says goes through a pipe, not to a file.
            for number in 1...2 {
                let output = try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(number)")
                #expect(output.hasPrefix("pipe:"))
            }
        }
    }

    @Test(.disabled(if: ResourceLimit.isSanitized, "a sanitizer has terabytes mapped"))
    func aRendererTakesNoMoreMemoryThanItMay() throws {
        let bench = try Bench(memory: 32 << 20)
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: []))
        // Each of them takes some 20 KiB.
        var shaders: UInt32 = 0
        while shaders < 20_000 {
            let stream = (0..<50).flatMap { Stream.shader(shaders + $0 + 1) }
            guard let reply = try bench.call(.submit(context: 1, commands: stream.bytes)), reply.status == .done else {
                break
            }
            shaders += 50
        }
        #expect((500..<10_000).contains(shaders), "\(shaders)")
    }

    @Test func aRendererThatDiesLeavesNobodyWaitingAndIsReplaced() throws {
        let bench = try Bench()
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: []))
        let process = try bench.process()
        kill(process, SIGSTOP)
        var lost = 0
        for _ in 0..<3 { bench.renderer.send(.fence) { if $0 == nil { lost += 1 } } }
        kill(process, SIGKILL)
        try bench.wait { !bench.renderer.isRunning }
        #expect(lost == 3)
        #expect(bench.ends == ["The renderer was ended by signal 9, Killed."])
        #expect(try bench.call(.fence) == nil)

        try bench.renderer.start()
        // The new one knows nothing of the old one's contexts.
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: []))
        try bench.done(.fence)
    }

    @Test func windowsTakeNoDescriptors() throws {
        let bench = try Bench()
        var windows: [UInt32] = []
        for _ in 0..<15 {
            for _ in 0..<100 { windows.append(try bench.share(4096).window) }
            try bench.wait { bench.renderer.pendingCount == 0 }
        }
        #expect(bench.ends.isEmpty)
        try bench.done(.createResource(picture(7)))
        let last = try #require(windows.last)
        try bench.done(
            .attachBacking(resource: 7, pieces: [MemoryPiece(window: last, offset: 0, size: 512)]))
    }

    @Test func aRendererThatHangsIsEnded() throws {
        let bench = try Bench(patience: .seconds(2))
        try bench.done(.fence)
        kill(try bench.process(), SIGSTOP)
        var answer: RendererReply?? = nil
        bench.renderer.send(.fence) { answer = .some($0) }
        try bench.wait { answer != nil }
        #expect(answer == .some(nil))
        #expect(bench.ends == ["The renderer has not answered for 2000 ms, and was ended."])
        try bench.renderer.start()
        try bench.done(.fence)
    }

    @Test func whatARendererHungAtIsSaid() throws {
        let bench = try Bench(patience: .seconds(2))
        try bench.done(.createContext(id: 3, capabilitySet: 0, name: []))
        for command in [.submit(context: 3, commands: []), .fence] as [RendererCommand] {
            kill(try bench.process(), SIGSTOP)
            bench.renderer.send(command)
            try bench.wait { !bench.renderer.isRunning && bench.renderer.pendingCount == 0 }
            try bench.renderer.start()
            try bench.done(.createContext(id: 4, capabilitySet: 0, name: []))
        }
        let sentence = "The renderer has not answered for 2000 ms, and was ended: "
        #expect(
            bench.ends == [
                sentence + "SUBMIT_3D of context 3 was due.",
                sentence + "the last that it answered was CTX_CREATE of context 4.",
            ])
    }

    @Test func aRendererThatTakesNoMemoryIsEnded() throws {
        let bench = try Bench()
        try bench.done(.fence)
        kill(try bench.process(), SIGSTOP)
        let memory = try MemoryFile(name: "test", size: 4096)
        // More than a socket holds.
        #expect(throws: Errno.self) {
            for _ in 0..<10_000 { _ = try bench.renderer.share(memory.descriptor, offset: 0, size: 4096) }
        }
        #expect(!bench.renderer.isRunning)
        try bench.wait { !bench.ends.isEmpty }
        #expect(bench.ends == ["The renderer does not take the memory that it is given, and was ended."])
        try bench.renderer.start()
        try bench.done(.fence)
    }

    @Test func withoutItsLauncherThereIsNoRenderer() throws {
        let bench = try Bench()
        try bench.done(.fence)
        kill(bench.launcher(), SIGKILL)
        try bench.wait { !bench.renderer.isRunning }
        #expect(throws: Errno.self) { try bench.renderer.start() }
    }

    @Test func moreThanTheRingHoldsWaitsItsTurn() throws {
        let bench = try Bench()
        try bench.done(.createContext(id: 1, capabilitySet: 0, name: []))
        // No operation, over and over: a header of command 0 with no length.
        let stream = [UInt8](repeating: 0, count: 1 << 20)
        var answers = 0
        for _ in 0..<20 { bench.renderer.send(.submit(context: 1, commands: stream)) { if $0 != nil { answers += 1 } } }
        try bench.wait { answers == 20 }
        #expect(bench.renderer.pendingCount == 0)
    }
}
