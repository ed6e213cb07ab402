import FakeQEMU
import JSON
import Linux
import Programs
import Testing
import VFIOUserClient

@Suite struct HotPlugTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    /// Runs `body` beside a monitor at `qmp`.
    private func withQEMU(_ answers: [String: [JSON]], _ body: (FakeQEMU) throws -> Void) throws {
        let qemu = try FakeQEMU(at: scratch.path("qmp"), answers: answers)
        defer { qemu.end() }
        try body(qemu)
    }

    private func mediated(_ verb: String, _ target: String, _ more: String...) throws -> Program.Outcome {
        try Command.run([verb, target, "--qmp", scratch.path("qmp")] + more, in: scratch.url)
    }

    // MARK: Attaching

    @Test func attachTellsWhereTheDeviceIs() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try withQEMU(FakeQEMU.machine) { qemu in
            // A relative path: QEMU has a folder of its own.
            let outcome = try mediated("attach", "socket")
            #expect(
                outcome.output == "id       vgpu0\nbus      rp\naddress  01:00.0\nguest    has enabled it\n")
            #expect(outcome.status == 0 && outcome.errors.isEmpty)
            #expect(qemu.requests("device_add").map { $0["socket"]?["path"] } == [.string(device.socket)])
        }
    }

    @Test func aDeviceThatNoBusHasYetIsAttachedAllTheSame() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        try withQEMU(FakeQEMU.machine) { _ in
            let outcome = try mediated("attach", device.socket, "--id", "gpu-1.a_B", "--bus", "br", "--timeout", "0")
            #expect(outcome.status == 0)
            #expect(outcome.output.hasPrefix("id       gpu-1.a_B\nbus      br\naddress  none yet: "))
        }
    }

    @Test(arguments: [
        ("running", "1", " within 1 s: it is starting, has no driver for it"),
        ("running", "0", " at once, and was not waited for"),
        ("paused", "1", ": it is not running (paused)"),
    ])
    func aGuestThatHasNotEnabledTheDeviceIsSaidSo(status: String, seconds: String, reason: String) throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let changes: [String: [JSON]] = [
            "query-pci": [FakeQEMU.buses(port: FakeQEMU.port(holding: [FakeQEMU.newDisplay]))],
            "query-status": [["return": ["status": .string(status)]]],
        ]
        try withQEMU(FakeQEMU.machine.merging(changes) { $1 }) { _ in
            let outcome = try mediated("attach", device.socket, "--timeout", seconds)
            // It is plugged in: a second attempt would find it in use.
            #expect(outcome.status == 0 && outcome.errors.isEmpty)
            #expect(outcome.output.contains("\nguest    has not enabled it\(reason)"))
        }
    }

    @Test func aPortWithTooLittleRoomIsSaidSo() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let port = FakeQEMU.port(holding: [FakeQEMU.display], prefetchable: 2 << 20)
        try withQEMU(FakeQEMU.machine.merging(["query-pci": [FakeQEMU.buses(port: port)]]) { $1 }) { _ in
            let outcome = try mediated("attach", device.socket)
            #expect(outcome.status == 0)
            #expect(
                outcome.errors.hasPrefix(
                    "mediated: The guest may find no room for the device: it needs 16M of prefetchable and 4K of other")
            )
        }
    }

    @Test func privateMemoryTakesForce() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let memory: JSON = ["return": [["id": "pc.ram", "share": false]]]
        try withQEMU(FakeQEMU.machine.merging(["query-memdev": [memory]]) { $1 }) { qemu in
            let outcome = try mediated("attach", device.socket)
            #expect(outcome.status == 69)
            #expect(outcome.errors.hasPrefix("mediated: The guest's memory 'pc.ram' is private to QEMU"))
            #expect(outcome.errors.hasSuffix("--force attaches it all the same.\n"))
            #expect(qemu.requests("device_add").isEmpty)
            #expect(try mediated("attach", device.socket, "--force").status == 0)
        }
    }

    @Test func aDeviceThatIsMissingOrInUseIsNotAttached() throws {
        try withQEMU(FakeQEMU.machine) { qemu in
            #expect(try mediated("attach", scratch.path("none")).status == 66)
            let device = try RunningDevice("bochs-display", in: scratch)
            let other = try Client(path: device.socket)
            let outcome = try mediated("attach", device.socket)
            #expect(outcome.status == 69)
            #expect(outcome.errors.contains("is in use by another client"))
            #expect(qemu.requests("device_add").isEmpty)
            withExtendedLifetime(other) {}
        }
    }

    /// QEMU may be of another user, whom the device serves.
    @Test func aDeviceForOtherUsersIsLeftToQEMU() throws {
        let device = FakeDevice().answering(.version) { _ in .refusal(.permissionDenied) }
        let server = try FakeServer(device, at: scratch.path("device"))
        defer { server.end() }
        try withQEMU(FakeQEMU.machine) { _ in
            let outcome = try mediated("attach", server.path)
            #expect(outcome.status == 0, "\(outcome)")
        }
    }

    @Test func whatQEMURefusesIsSaidInItsWords() throws {
        let device = try RunningDevice("bochs-display", in: scratch)
        let refusal: JSON = ["error": ["class": "GenericError", "desc": "Bus 'x' not found"]]
        try withQEMU(FakeQEMU.machine.merging(["device_add": [refusal]]) { $1 }) { _ in
            let outcome = try mediated("attach", device.socket, "--bus", "x")
            #expect(outcome.status == 70)
            #expect(outcome.errors == "mediated: QEMU refused 'device_add': Bus 'x' not found\n")
        }
    }

    // MARK: Detaching

    @Test(arguments: ["vgpu0", "/run/vgpu"]) func detachIsSilentWhenItIsDone(name: String) throws {
        try withQEMU(FakeQEMU.occupiedMachine) { qemu in
            let outcome = try mediated("detach", name)
            #expect(outcome.status == 0 && outcome.output.isEmpty && outcome.errors.isEmpty)
            #expect(qemu.requests("device_del") == [["id": "vgpu0"]])
        }
    }

    @Test func aDeviceWithMSIXTakesForce() throws {
        let parts = FakeQEMU.properties(["msix-table[0]": "child<memory-region>"])
        let answers = FakeQEMU.occupiedMachine.merging(["qom-list /machine/peripheral/vgpu0": [parts]]) { $1 }
        try withQEMU(answers) { qemu in
            let outcome = try mediated("detach", "vgpu0")
            #expect(outcome.status == 69)
            #expect(outcome.errors.hasSuffix("--force detaches it all the same.\n"))
            #expect(qemu.requests("device_del").isEmpty)
            #expect(try mediated("detach", "vgpu0", "--force").status == 0)
        }
    }

    @Test func aGuestThatDoesNotAnswerIsSaidSo() throws {
        try withQEMU(FakeQEMU.occupiedMachine.merging(["device_del": [["return": [:]]]]) { $1 }) { _ in
            let outcome = try mediated("detach", "vgpu0", "--timeout", "1")
            #expect(outcome.status == 69)
            #expect(outcome.errors.contains("has not given up the device 'vgpu0' within 1000 ms"))
        }
    }

    @Test func aNameThatIsNoDevicesIsSaidSo() throws {
        try withQEMU(FakeQEMU.occupiedMachine) { _ in
            for name in ["vgpu1", "", String(repeating: "x", count: 200)] {
                let outcome = try mediated("detach", name)
                #expect(outcome.status == 69)
                #expect(outcome.errors.contains("has no vfio-user device '\(name)'; it has vgpu0."))
            }
        }
    }

    // MARK: Nobody there, or somebody else

    @Test(arguments: ["attach", "detach"]) func nobodyThereIsSaidSo(verb: String) throws {
        let missing = try mediated(verb, "x")
        #expect(missing.status == 66)
        #expect(missing.errors.contains("There is no QMP socket at '\(scratch.path("qmp"))'"))
        let other = try FakeQEMU(at: scratch.path("qmp"), greeting: "220 ready\r\n")
        let outcome = try mediated(verb, "x")
        #expect(outcome.status == 76)
        #expect(outcome.errors.hasPrefix("mediated: What came is no message of QMP: "))
        other.end()
        // A device's own socket, which is in use.
        let impostor = try Impostor(at: scratch.path("device"))
        defer { impostor.end() }
        let wrong = try Command.run(verb, "x", "--qmp", scratch.path("device"))
        #expect(wrong.status == 76)
        #expect(wrong.errors.contains("hung up without a greeting: it is no QMP monitor"), "\(wrong.errors)")
    }

    @Test(arguments: [
        ["attach", "/x"], ["attach", "", "--qmp", "/x"], ["attach", "/x", "--qmp", "/x", "--id", ""],
        ["attach", "/x", "--qmp", "/x", "--id", "0x"], ["attach", "/x", "--qmp", "/x", "--id", "a b"],
        ["attach", "/x", "--qmp", "/x", "--id", "é"], ["attach", "/x", "--qmp", "/x", "--timeout=-1"],
        ["attach", "/x", "--qmp", "/x", "--timeout", "3601"],
        ["detach", "x"],
        ["detach", "x", "--qmp", "/x", "--timeout", "0"],
        ["detach", "x", "--qmp", "/x", "--timeout", "3601"],
    ])
    func whatMakesNoSenseIsAUsageError(arguments: [String]) throws {
        let outcome = try Command.run(arguments)
        #expect(outcome.status == 64)
        #expect(!outcome.errors.isEmpty && outcome.output.isEmpty)
    }
}
