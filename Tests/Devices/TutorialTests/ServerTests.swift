import Foundation
import Linux
import PCI
import Programs
import Testing
import VFIO
import VFIOUserClient
import Waiting

/// The tutorial's program, as its reader runs it.
@Suite struct ServerTests {
    @Test func theBellIsServedAndRings() throws {
        let scratch = try Scratch()
        let socket = scratch.path("bell")
        let program = Process()
        program.executableURL = try Program.folder.appendingPathComponent("bell")
        program.arguments = [socket]
        try program.run()
        defer {
            // It may have inherited that signals which ask to end are blocked.
            kill(program.processIdentifier, SIGKILL)
            program.waitUntilExit()
        }
        let client = try connect(to: socket, in: scratch.url.path)
        let pin = try EventFD()
        try client.setEventFDs([pin], kind: .intx)
        try client.write(UInt32(1), region: RegionIndex.bar0, offset: 0)
        try client.write(UInt32(1), region: RegionIndex.bar0, offset: 0)
        #expect(pin.consume() == 1)
        #expect(try client.read(UInt32.self, region: RegionIndex.bar0, offset: 4) == 2)
        #expect(try client.read(UInt32.self, region: RegionIndex.bar0, offset: 4) == 0)
    }

    @Test func aSocketIsAskedFor() throws {
        let outcome = try Program.run(Program.folder.appendingPathComponent("bell"), [])
        #expect(outcome.status == 64)
        #expect(outcome.output == "usage: bell SOCKET\n")
    }

    /// The program says nothing when it serves: only its socket tells, which appears when it can be connected to.
    private func connect(to socket: String, in folder: String) throws -> Client {
        try awaitChanges(in: folder) { FileManager.default.fileExists(atPath: socket) }
        return try Client(path: socket)
    }
}
