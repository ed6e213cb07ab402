import Control
import Foundation
import Linux
import Programs
import Testing

/// How a device process begins: what it inherits, what it waits for, and what it says of arguments that are wrong.
@Suite struct StartTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch(permissions: 0o777)
    }

    // MARK: The word to start

    @Test func aByteLetsItServe() throws {
        let channel = try Channel()
        let path = scratch.path("vgpu")
        let device = try Child(
            "mediated-device", ["serial", "--socket", path, "--start-fd", "9"],
            descriptors: [(channel.reading.raw, as: 9)])
        #expect(write(channel.writing, path, 1) == 1)
        #expect(try device.errors(until: "\n").contains("Serving 'serial'"))
        device.terminate()
        #expect(device.wait() == .exit(0))
    }

    @Test func nothingIsThereBeforeTheByte() throws {
        let channel = try Channel()
        let path = scratch.path("vgpu")
        let device = try Child(
            "mediated-device", ["serial", "--socket", path, "--start-fd", "9"],
            descriptors: [(channel.reading.raw, as: 9)])
        // Its system call and the first argument: it sleeps in read(2) of descriptor 9, and has made nothing yet.
        var call: [Substring] = []
        for _ in 0..<1_000_000 where call.dropFirst().first != "0x9" {
            call = try String(contentsOfFile: "/proc/\(device.pid)/syscall", encoding: .utf8).split(separator: " ")
        }
        #expect(call.dropFirst().first == "0x9")
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func theEndOfThePipeEndsItSilently() throws {
        let device: Child
        do {
            let channel = try Channel()
            device = try Child(
                "mediated-device", ["serial", "--socket", scratch.path("vgpu"), "--start-fd", "9"],
                descriptors: [(channel.reading.raw, as: 9)])
        }
        #expect(device.wait() == .exit(0))
        #expect(try device.errors() == "")
        #expect(try device.output() == "")
        #expect(!FileManager.default.fileExists(atPath: scratch.path("vgpu")))
    }

    // MARK: Its own sockets

    @Test func socketsThatAConfinedProcessLeavesAreReplaced() throws {
        let path = scratch.path("vgpu")
        for _ in 0..<2 {
            let device = try Child("mediated-device", ["serial", "--socket", path, "--sandbox"])
            _ = try device.errors(until: "Serving")
            try ControlClient(connectingTo: ControlClient.path(besides: path)).stop()
            #expect(device.wait() == .exit(0))
            // It can remove nothing any more.
            #expect(FileManager.default.fileExists(atPath: path))
        }
    }

    // MARK: What is wrong

    /// Ends at once with a sentence; descriptor 9 can be read and 10 can't.
    private func complaint(_ arguments: [String]) throws -> (Ending, String) {
        let channel = try Channel()
        let writable = Descriptor(owning: open("/dev/null", O_WRONLY | O_CLOEXEC))
        let child = try Child(
            "mediated-device", ["serial", "--socket", scratch.path("vgpu")] + arguments,
            descriptors: [(channel.reading.raw, as: 9), (writable.raw, as: 10)])
        return (child.wait(), String(try child.errors().prefix { $0 != "\n" }))
    }

    private static let number = "must be the number of an inherited descriptor, from 3 on."
    private static let user = "must be a user's number, other than root's."
    private static let memory = "must be a number of bytes, from 33554432 on."

    @Test(arguments: [
        (["--socket-fd"], "--socket-fd needs a value."),
        (["--socket-fd", "x"], "--socket-fd is 'x' but \(number)"),
        (["--socket-fd", "2"], "--socket-fd is '2' but \(number)"),
        (["--control-fd", "-1"], "--control-fd is '-1' but \(number)"),
        (["--state-fd", ""], "--state-fd is '' but \(number)"),
        (["--start-fd", "99999999999"], "--start-fd is '99999999999' but \(number)"),
        (["--start-fd", "399"], "--start-fd is 399, but no such descriptor was inherited."),
        (["--socket-fd", "9", "--control-fd", "9"], "--control-fd is 9, but that descriptor is given already."),
        (["--start-fd", "10"], "--start-fd is 10, which can't be used: Bad file descriptor."),
        (["--socket-fd", "9"], "--socket-fd is 9, which can't be used: Invalid argument."),
        (["--control-fd", "10"], "--control-fd is 10, which can't be used: Socket operation on non-socket."),
        (["--state-fd", "9", "--restore", "x"], "--restore and --state-fd both give a state; give one."),
        (["--uid", "1"], "--uid and --gid belong together; give both or none."),
        (["--gid", "1"], "--uid and --gid belong together; give both or none."),
        (["--uid", "0", "--gid", "1"], "--uid is '0' but \(user)"),
        (["--uid", "4294967295", "--gid", "1"], "--uid is '4294967295' but \(user)"),
        (["--uid", "root", "--gid", "1"], "--uid is 'root' but \(user)"),
        (["--uid", "1", "--gid", "0"], "--gid is '0' but must be a group's number, other than root's."),
        (["--memory", "1024"], "--memory is '1024' but \(memory)"),
        (["--memory", "256M"], "--memory is '256M' but \(memory)"),
        (["--memory", "99999999999999999999"], "--memory is '99999999999999999999' but \(memory)"),
        (["--sandbox=yes"], "'--sandbox=yes' is not understood."),
    ])
    func aWrongArgumentIsAUsageError(arguments: [String], message: String) throws {
        let (ending, said) = try complaint(arguments)
        #expect(ending == .exit(64))
        #expect(said == "mediated-device: \(message)")
    }

    @Test func onlyAListeningStreamSocketIsTaken() throws {
        let pair = try UnixSocket.pair()
        let bound = Descriptor(owning: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0))
        let network = Descriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        listen(network.raw, 1)
        for raw in [pair.first.descriptor.raw, bound.raw, network.raw] {
            let child = try Child(
                "mediated-device", ["serial", "--socket", scratch.path("vgpu"), "--socket-fd", "9"],
                descriptors: [(raw, as: 9)])
            #expect(child.wait() == .exit(64))
            #expect(try child.errors().hasPrefix("mediated-device: --socket-fd is 9, which can't be used: Invalid arg"))
        }
    }

    @Test func aStateThatIsNoneIsSaidSo() throws {
        let path = scratch.path("state")
        #expect(FileManager.default.createFile(atPath: path, contents: Data("no state at all".utf8)))
        let file = try Descriptor(reading: path)
        let child = try Child(
            "mediated-device", ["serial", "--socket", scratch.path("vgpu"), "--state-fd", "9"],
            descriptors: [(file.raw, as: 9)])
        #expect(child.wait() == .exit(65))
        #expect(try child.errors().hasPrefix("mediated-device: The state in descriptor 9 can't be restored. "))
    }

    @Test(.enabled(if: !isRoot, "Root can."))
    func nobodyButRootBecomesSomebodyElse() throws {
        let (ending, said) = try complaint(["--uid", "54321", "--gid", "54322"])
        #expect(ending == .exit(77))
        #expect(said == "mediated-device: Can't become user 54321 of group 54322: Operation not permitted.")
    }

    @Test(.enabled(if: isRoot, "Only root can become somebody else."))
    func whatItMakesBelongsToItsUser() throws {
        let path = scratch.path("vgpu")
        let device = try Child("mediated-device", ["serial", "--socket", path, "--uid", "54321", "--gid", "54322"])
        _ = try device.errors(until: "Serving")
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.ownerAccountID] as? Int == 54_321)
        #expect(attributes[.groupOwnerAccountID] as? Int == 54_322)
        device.terminate()
        #expect(device.wait() == .exit(0))
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
