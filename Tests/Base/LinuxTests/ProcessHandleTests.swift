import Glibc
import Linux
import Testing

/// Other processes: which one is meant, and what it gets.
@Suite struct ProcessHandleTests {
    @Test func aSignalReachesTheProcessThatWasMeantOrNone() throws {
        let process = try ChildProcess.spawn("/bin/sleep", ["1000"], passing: [])
        let handle = try ProcessHandle(process)
        #expect(try waitReadable([handle.descriptor.raw], within: .zero) == [false])
        try handle.send(SIGTERM)
        #expect(try waitReadable([handle.descriptor.raw], within: .seconds(60)) == [true])
        // Its ID is still its own.
        try handle.send(0)
        var status: Int32 = 0
        #expect(waitpid(process, &status, 0) == process && status == SIGTERM)
        #expect(throws: Errno.noSuchProcess) { try handle.send(SIGKILL) }
        #expect(throws: Errno.noSuchProcess) { _ = try ProcessHandle(process) }
        #expect(throws: Errno.invalidArgument) { _ = try ProcessHandle(-5) }
    }

    @Test func aProgramGetsTheEnvironmentLessWhatIsWithheld() throws {
        let pipe = try UnixSocket.pair()
        let name = try #require(getenv("PATH").map { _ in "PATH" })
        func names(without withheld: Set<String>) throws -> Set<String> {
            let process = try ChildProcess.spawn(
                "/bin/sh", ["-c", "tr '\\0' '\\n' </proc/self/environ >&3; echo >&3"],
                passing: [pipe.second.descriptor.raw],
                without: withheld)
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            var lines = try LineBuffer(limit: 1 << 20)
            var descriptors = ReceivedDescriptors()
            var names: Set<String> = []
            while true {
                let line = try lines.receiveLine(
                    from: pipe.first, until: Deadline(after: .seconds(60)), descriptors: &descriptors)
                guard !line.isEmpty else { return names }
                names.insert(String(decoding: line.prefix { $0 != 0x3d }, as: UTF8.self))
            }
        }
        let all = try names(without: [])
        #expect(all.contains(name))
        #expect(try !names(without: [name, "NOBODY_HAS_THIS"]).contains(name))
    }
}
