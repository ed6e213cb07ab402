import Control
import Foundation
import Glibc
import Linux
import Mediation
import Programs
import Testing
import VFIOUserClient

@testable import Supervision

/// The process that brings a saved state to the disk.
@Suite struct CheckpointTests {
    /// Where the exerciser's register is that keeps what is written to it.
    private static let scratch: UInt64 = 4

    /// In the place of mediated-device: does in the role of the writer what a test says, and is the real one otherwise.
    private final class Program {
        let scratch: Scratch
        var path: String { scratch.path("program") }
        /// The processes that had that role.
        var writers: [Int32] {
            let text = (try? String(contentsOfFile: scratch.path("writers"), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").compactMap { Int32($0) }
        }

        /// - Parameter act: a shell's commands, which may leave the rest to the real one.
        init(keeping act: String) throws {
            scratch = try Scratch()
            let device = try Programs.Program.folder.appendingPathComponent("mediated-device").path
            let text = """
                #!/bin/sh
                cd '\(scratch.path(""))'
                if [ "$1" = \(CheckpointWriter.role) ]; then
                    echo $$ >>writers
                    \(act)
                fi
                exec '\(device)' "$@"

                """
            try text.write(toFile: path, atomically: false, encoding: .utf8)
            try #require(chmod(path, 0o755) == 0)
        }

        func set(_ name: String) throws {
            try #require(FileManager.default.createFile(atPath: scratch.path(name), contents: nil))
        }

        func clear(_ name: String) throws { try FileManager.default.removeItem(atPath: scratch.path(name)) }
    }

    /// A client comes, writes a number, and leaves.
    private func use(_ id: InstanceID, _ bench: Bench, writing value: UInt32) throws {
        let client = try Client(path: bench.directories.socket(of: id))
        try client.write(value, region: 0, offset: Self.scratch)
    }

    private func folder(_ bench: Bench) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(bench.root)/state/vgpu")
    }

    // MARK: What the manager makes of it

    @Test func itIsInTheVGPUsControlGroup() async throws {
        let folder = try DeviceGroupsTests.Folder()
        let program = try Program(keeping: "")
        let bench = try Bench {
            $0.controlGroup = folder.group
            $0.program = program.path
        }
        try await bench.manager.begin()
        let id = InstanceID()
        let group = try folder.add(id)
        _ = try await bench.manager.define(Instance(id: id, parent: "cpu", type: "exerciser"))
        _ = try await bench.manager.start(id)
        try use(id, bench, writing: 0xfeed)
        try await bench.awaitSavedState(of: id, holding: 0xfeed)
        // The file that stands for the kernel's has the last one that was put there.
        #expect(try group.processes == program.writers && program.writers.count == 1)
    }

    @Test func oneThatFailsLeavesTheOldStateAndIsToldOfOnce() async throws {
        let program = try Program(keeping: "[ -e fails ] && exit \(ENOSPC)")
        let bench = try Bench { $0.program = program.path }
        try await bench.manager.begin()
        let id = try await bench.started().id
        try use(id, bench, writing: 0xfeed)
        try await bench.awaitSavedState(of: id, holding: 0xfeed)

        try program.set("fails")
        for value in [UInt32(0xbeef), 0xcafe] {
            let last = try await bench.manager.journal().last
            try use(id, bench, writing: value)
            _ = await bench.store.entry("client-left", of: id, after: last)
            // In its turn, so behind that.
            _ = try await bench.manager.modify(id, Modification())
        }
        let told = await bench.store.entry("failed", of: id)
        #expect(told.message.contains("can't be saved") && told.message.contains("No space left on device"))
        try await bench.awaitSavedState(of: id, holding: 0xfeed)
        #expect(try folder(bench) == ["\(id).state"])

        try program.clear("fails")
        try use(id, bench, writing: 0xf00d)
        try await bench.awaitSavedState(of: id, holding: 0xf00d)
        #expect(try await bench.manager.journal().entries.count { $0.kind == "failed" } == 1)
    }

    @Test func oneThatHangsHoldsUpNobodyElse() async throws {
        let program = try Program(keeping: "[ -e hangs ] && echo >begun && exec sleep 1000")
        let begun = program.scratch.path("begun")
        try #require(mkfifo(begun, 0o600) == 0)
        let bench = try Bench {
            $0.program = program.path
            $0.savingLimit = .seconds(600)
        }
        try await bench.manager.begin()
        let (stuck, other) = (try await bench.started().id, try await bench.started().id)
        try program.set("hangs")
        try use(stuck, bench, writing: 0xfeed)
        _ = try await blocking { try Descriptor(reading: begun).readBytes(upTo: 1) }
        let writer = try #require(program.writers.first)
        _ = try await bench.manager.ask(stuck) { try $0.statistics() }
        try program.clear("hangs")
        try use(other, bench, writing: 0xbeef)
        try await bench.awaitSavedState(of: other, holding: 0xbeef)

        #expect(kill(writer, SIGKILL) == 0)
        let told = await bench.store.entry("failed", of: stuck)
        #expect(told.message.contains("ended by signal 9"))
        #expect(try folder(bench) == ["\(other).state"])
    }

    @Test func oneThatTakesTooLongIsKilled() async throws {
        let program = try Program(keeping: "exec sleep 1000")
        let bench = try Bench {
            $0.program = program.path
            $0.savingLimit = .milliseconds(100)
        }
        try await bench.manager.begin()
        let id = try await bench.started().id
        try use(id, bench, writing: 0xfeed)
        let told = await bench.store.entry("failed", of: id)
        #expect(told.message.contains("timed out"))
        let writer = try #require(program.writers.first)
        try await blocking {
            do throws(Errno) { _ = try waitReadable([ProcessHandle(writer).descriptor.raw], within: nil) } catch {
                // It has ended, and its status is taken.
                guard error == .noSuchProcess else { throw error }
            }
        }
        #expect(try folder(bench).isEmpty)
    }

    @Test func whileItFailsItIsTriedEverMoreSeldom() {
        var schedule = CheckpointSchedule()
        var now = ContinuousClock.now
        #expect(schedule.request(every: .seconds(30), at: now) == .zero)
        var pauses: [Duration?] = []
        for _ in 0..<7 {
            schedule.begin(at: now)
            // It was given up after a while, from which the next one's pause counts.
            now += .seconds(30)
            _ = schedule.end(failed: true, at: now)
            pauses.append(schedule.request(every: .seconds(30), at: now))
        }
        #expect(pauses == [60, 120, 240, 480, 960, 960, 960].map { .seconds($0) })
        schedule.begin(at: now)
        _ = schedule.end(failed: false, at: now)
        #expect(schedule.request(every: .seconds(30), at: now) == .seconds(30))
    }

    // MARK: The process itself

    /// A writer that waits to be let go on.
    private final class Writer {
        private final class Gate {
            let pipe: PipeEnds
            init() throws(Errno) { pipe = try PipeEnds(blocks: true) }
        }

        let process: Int32
        private var gate: Gate?

        init(_ state: borrowing Descriptor, size: Int, to file: Int32, before: Int32) throws {
            let gate = try Gate()
            process = try ChildProcess.spawn(
                Programs.Program.folder.appendingPathComponent("mediated-device").path,
                CheckpointWriter.words(size: size),
                passing: [gate.pipe.reader.raw, state.raw, file, before])
            self.gate = gate
        }

        func release() throws { try gate?.pipe.writer.writeAll([1].span.bytes) }

        func giveUp() { gate = nil }

        /// - Returns: the exit status.
        func end() throws -> Int32 {
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process && status & 0x7f == 0)
            return status >> 8
        }
    }

    private func state(_ size: Int) throws -> MemoryFile {
        let state = try MemoryFile(name: "state", size: size)
        state.replace(at: 0, with: [UInt8](repeating: 7, count: size).span.bytes)
        return state
    }

    @Test func nothingIsWrittenBeforeItIsLetGoOnAndNothingThatIsThereAlready() throws {
        let scratch = try Scratch()
        let state = try state(1 << 20)
        func keep(_ name: String, before: String = "/dev/null", _ act: (Writer) throws -> Void) throws -> Int32 {
            let before = try Descriptor(reading: before)
            let file = Descriptor(
                owning: open(scratch.path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600))
            let writer = try Writer(state.descriptor, size: state.size, to: file.raw, before: before.raw)
            try act(writer)
            return try writer.end()
        }
        func count(_ name: String) -> Int? { FileManager.default.contents(atPath: scratch.path(name))?.count }
        #expect(try keep("a") { $0.giveUp() } == ECANCELED)
        #expect(count("a") == 0)
        #expect(try keep("b") { try $0.release() } == CheckpointWriter.written)
        #expect(FileManager.default.contents(atPath: scratch.path("b")) == Data(repeating: 7, count: 1 << 20))
        #expect(try keep("c", before: scratch.path("b")) { try $0.release() } == CheckpointWriter.unchanged)
        #expect(count("c") == 0)
        #expect(try keep("d", before: scratch.path("a")) { try $0.release() } == CheckpointWriter.written)
    }

    @Test func itIsConfinedWhileItReadsWhatADeviceProcessWrote() throws {
        let state = try state(1 << 20)
        // Too small for all of it, so that the process waits.
        let sink = try PipeEnds(blocks: true)
        let none = try Descriptor(reading: "/dev/null")
        let writer = try Writer(state.descriptor, size: state.size, to: sink.writer.raw, before: none.raw)
        try writer.release()
        #expect(try sink.reader.readBytes(upTo: 1) == [7])
        let status = try String(contentsOfFile: "/proc/\(writer.process)/status", encoding: .utf8)
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
            #expect(status.contains(line), "\(line)")
        }
        ChildProcess.end(writer.process)
    }
}
