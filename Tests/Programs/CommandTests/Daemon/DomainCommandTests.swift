import FakeDomains
import Foundation
import JSON
import Programs
import RunningDaemon
import Testing
import VFIOUserClient

/// `mediated run`, `attach` and `detach` with Xen domains. There is no Xen: a program stands in for a device process in
/// a slot (``FakeDomains``), and another for Xen's own tool (``FakeXL``).
@Suite struct DomainCommandTests {
    let domains: FakeDomains
    let xl: FakeXL
    let scratch: Scratch

    init() throws {
        domains = try FakeDomains()
        for domain: UInt16 in [5, 6] { try domains.make(domain) }
        xl = try FakeXL()
        scratch = try Scratch()
    }

    private func daemon() throws -> RunningDaemon {
        try RunningDaemon(
            by: ["mediated-daemon"], in: domains.folder(with: "mediated-daemon"), types: nil, isStarted: true)
    }

    private func expect(
        _ status: Int32, _ words: String, of outcome: Program.Outcome, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.status == status, "\(outcome)", sourceLocation: sourceLocation)
        #expect(outcome.errors.contains(words), "\(outcome.errors)", sourceLocation: sourceLocation)
        #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
    }

    // MARK: run

    @Test(arguments: [(["--xen", "5"], "00:10.0"), (["--xen", "guest", "--slot", "00:1f.7"], "00:1f.7")])
    func aDeviceRunsInASlotOfADomain(place: [String], slot: String) throws {
        let (control, folder) = (scratch.path("control"), try domains.folder(with: "mediated"))
        let ended = Pipe()
        let thread = Thread { [xl] in
            let words = ["run", "exerciser", "--control", control, "--mode", "0660"] + place
            let outcome = try? xl.run(words, in: folder)
            ended.fileHandleForWriting.write(Data("\(outcome?.status ?? -1) ".utf8))
        }
        thread.start()
        let deadline = Date(timeIntervalSinceNow: 60)
        while try Command.run("info", "-", "--control", control).status != 0, Date() < deadline {}
        let attributes = try FileManager.default.attributesOfItem(atPath: control)
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        _ = try Client(path: domains.socket(5, slot))
        #expect(try Command.run("stop", "-", "--control", control).status == 0)
        #expect(try ended.read(until: " ") == "0 ")
    }

    @Test(arguments: [
        ([], "Say where the device is to be: --socket PATH, or --xen DOMAIN."),
        (["--socket", "s", "--xen", "5"], "Say where the device is to be"),
        (["--xen", "5"], "give --control."), (["--socket", "s", "--slot", "00:10.0"], "--slot goes with --xen"),
        (["--xen", "5", "--control", "c", "--poll"], "--poll is about clients of a socket"),
        (["--xen", "5", "--control", "c", "--slot", "5"], "'--slot <slot>'"),
        (["--xen", "0", "--control", "c"], "The domain is '0' but must be one whose number is from 1 to 32751"),
        (["--xen", "32752", "--control", "c"], "The domain is '32752' but"),
        (["--xen", "99999", "--control", "c"], "The domain is '99999' but"),
        (["--xen", "", "--control", "c"], "The domain is '' but must be a number or a name"),
        (["--xen", "all", "--control", "c"], "domain 0 has no device models"),
    ])
    func whatMakesNoSenseIsAUsageError(words: [String], message: String) throws {
        expect(64, message, of: try xl.run(["run", "serial"] + words))
    }

    @Test func aDomainIsFoundByItsNameWhereXLIs() throws {
        let words = ["run", "serial", "--control", scratch.path("control"), "--xen"]
        expect(
            69, "xl can't tell which domain 'none' is: 'none is an invalid domain identifier (rc=-6)'.",
            of: try xl.run(words + ["none"]))
        expect(76, "xl gives no number for domain 'odd': 'five'.", of: try xl.run(words + ["odd"]))
        expect(69, "give the domain's number", of: try FakeXL.runWithout(words + ["guest"]))
    }

    @Test(.enabled(if: access("/dev/xen/privcmd", F_OK) != 0, "Xen is here."))
    func withoutXenRunSaysSo() throws {
        let outcome = try Command.run("run", "serial", "--xen", "5", "--control", scratch.path("control"))
        expect(73, "Is this the domain 0 of a Xen", of: outcome)
    }

    // MARK: attach and detach

    @Test func aVGPUIsAttachedShownAndDetached() throws {
        let daemon = try daemon()
        let vgpu = try daemon.started()
        let (uuid, root) = (vgpu.uuid, ["--root", daemon.root])
        let attached = try xl.run(["attach", uuid, "--xen", "guest"] + root)
        #expect(attached.status == 0 && attached.errors.isEmpty, "\(attached)")
        #expect(attached.output == "domain  5\nslot    00:10.0\n")
        #expect(try daemon.output("show", uuid).contains("\ndomain      5, slot 00:10.0\nprocess "))
        let shown = try JSON(parsing: daemon.output("show", uuid, "--json"))
        #expect(shown["domain"] == ["number": 5, "slot": "00:10.0"] && shown["socket"] == nil)
        let listed = try daemon.output("list", "-v")
        #expect(listed.contains("  domain 5, slot 00:10.0\n") && !listed.contains("socket"))
        let json = try JSON(parsing: daemon.output("list", "--json"))
        #expect(json[0]?["domain"]?["number"] == 5)
        #expect(try daemon.output("events", "--vgpu", uuid).contains("Put into slot 00:10.0 of domain 5."))
        #expect(try daemon.output("logs", uuid).contains("Serving"))
        // A guest that is there is a client.
        let guest = try Client(path: domains.socket(5, "00:10.0"))
        let top = try daemon.output("top", "--once", "--interval", "0.1").split(separator: "\n").last
        #expect(top?.split(separator: " ").prefix(3) == [uuid[...], "exerciser", "used"])
        try daemon.expectFailure(69, "is in domain 5, slot 00:10.0, and has no socket", "inspect", uuid)
        withExtendedLifetime(guest) {}

        #expect(try daemon.output("detach", uuid).isEmpty)
        #expect(try daemon.vgpu(uuid).domain == nil)
        #expect(try daemon.output("inspect", uuid).contains("Server: vfio-user"))
        try daemon.expectFailure(69, "is in no slot of a domain", "detach", uuid)
    }

    @Test func aDomainThatHasRunIsAttachedToOnlyWhereItsGuestLooks() throws {
        let daemon = try daemon()
        let uuid = try daemon.started().uuid
        func attach(_ words: String...) -> [String] { ["attach", uuid, "--root", daemon.root] + words }
        expect(69, "Start it paused: 'xl create -p', attach, 'xl unpause'", of: try xl.run(attach("--xen", "6")))
        expect(69, "give --live", of: try FakeXL.runWithout(attach("--xen", "6")))
        expect(
            69, "xl can't tell whether domain 7 has run: '7 is an invalid domain identifier (rc=-6)'.",
            of: try xl.run(attach("--xen", "7")))
        expect(76, "xl gives no time for domain 8: 'nothing'.", of: try xl.run(attach("--xen", "8")))
        #expect(try daemon.vgpu(uuid).pid == daemon.vgpu(uuid).pid && daemon.vgpu(uuid).domain == nil)
        let live = try FakeXL.runWithout(attach("--xen", "6", "--live", "--slot", "00:12.0"))
        #expect(live.status == 0 && live.output == "domain  6\nslot    00:12.0\n", "\(live)")
    }

    @Test func whatCanNotBeAttachedIsSaidWhy() throws {
        let daemon = try daemon()
        let (first, second) = (try daemon.started().uuid, try daemon.started().uuid)
        func attach(_ uuid: String, _ words: String...) throws -> Program.Outcome {
            try xl.run(["attach", uuid, "--root", daemon.root, "--live"] + words)
        }
        expect(
            66, "There is no domain 7. The vGPU \(first) is on its socket again.", of: try attach(first, "--xen", "7"))
        #expect(try attach(first, "--xen", "5").status == 0)
        expect(69, "take it out with 'mediated detach \(first)'", of: try attach(first, "--xen", "5"))
        expect(69, "The vGPU \(first) is in slot 00:10.0", of: try attach(second, "--xen", "5", "--slot", "00:10.0"))
        expect(66, "There is no vGPU", of: try attach(unknownUUID, "--xen", "5"))
        try domains.refuse("/dev/xen/privcmd: Permission denied. It takes root, or access to the files of /dev/xen.")
        expect(69, "It takes root", of: try attach(second, "--xen", "5"))
        let stopped = try daemon.define()
        expect(69, "start it with 'mediated start \(stopped)'", of: try attach(stopped, "--xen", "5"))
    }

    @Test(arguments: [
        (["attach", unknownUUID], "Name the virtual machine: --qmp SOCKET of a QEMU, or --xen DOMAIN."),
        (["attach", unknownUUID, "--xen", "5", "--qmp", "q"], "Name the virtual machine"),
        (["attach", unknownUUID, "--xen", "5", "--force"], "--id, --bus, --timeout and --force go with --qmp."),
        (["attach", unknownUUID, "--qmp", "q", "--slot", "00:10.0"], "--slot goes with --xen"),
        (["attach", unknownUUID, "--qmp", "q", "--live"], "--live goes with --xen."),
        (["attach", "./socket", "--xen", "5"], "'mediated run TYPE --xen DOMAIN'"),
        (["detach", "vgpu0"], "QEMU's monitor isn't named: give --qmp SOCKET."),
        (["detach", unknownUUID, "--force"], "--timeout and --force go with --qmp."),
        (["detach", unknownUUID, "--timeout", "5"], "--timeout and --force go with --qmp."),
    ])
    func commandLinesThatDoNotFitAreUsageErrors(words: [String], message: String) throws {
        expect(64, message, of: try Command.run(words))
    }

    // MARK: attach-args

    @Test func attachArgsSayWhatADomainNeeds() throws {
        let lines = try Command.run("attach-args", "--xen", "bochs-display", "-o", "vram=32M", "--memory", "512M")
            .output
            .split(separator: "\n").map(String.init)
        #expect(lines.contains("extra = \"pci=conf1,noacpi\""))
        #expect(lines.contains { $0.hasPrefix("# ") && $0.contains("32M beside its 512M") })
        #expect(
            lines.suffix(5) == [
                "xl create -p CONFIGURATION", "xl mem-max DOMAIN 544m",
                "mediated run bochs-display -o vram=32M --xen DOMAIN --control SOCKET &",
                "# Wait until it has said 'Serving':", "xl unpause DOMAIN",
            ])
        // A guest maps nothing of it.
        let serial = try Command.run("attach-args", "--xen", "serial").output
        #expect(serial.contains("mediated run serial --xen DOMAIN") && !serial.contains("mem-max"))
    }

    @Test func attachArgsMakeNoDevice() throws {
        let folder = scratch.path("folder")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let line = folder + "/line"
        try FileManager.default.createSymbolicLink(atPath: line, withDestinationPath: "/dev/null")
        let outcome = try Command.run("attach-args", "--xen", "serial", "-o", "line=pty:\(line)")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: line) == "/dev/null")
    }

    /// What a device process says is perhaps a hostile guest's.
    @Test func attachArgsAskNoDeviceProcess() throws {
        let daemon = try RunningDaemon()
        let vgpu = try daemon.started("bochs-display")
        let process = try #require(vgpu.pid)
        kill(process, SIGSTOP)
        defer { kill(process, SIGCONT) }
        #expect(try daemon.output("attach-args", vgpu.uuid, "--xen").contains("\nxl mem-max DOMAIN 1040m\n"))
    }

    @Test func attachArgsOfAVGPUNameIt() throws {
        let daemon = try RunningDaemon()
        let vgpu = try daemon.started("bochs-display", "--attribute", "vram=8M")
        let lines = try daemon.output("attach-args", vgpu.uuid, "--libxl").split(separator: "\n").map(String.init)
        #expect(lines.contains("<cmdline>pci=conf1,noacpi</cmdline>"))
        #expect(
            lines.suffix(4) == [
                "virsh start --paused DOMAIN", "virsh setmaxmem DOMAIN 1032MiB --live",
                "mediated attach \(vgpu.uuid) --xen $(virsh domid DOMAIN)", "virsh resume DOMAIN",
            ])
        let stopped = try daemon.define("exerciser")
        #expect(try daemon.output("attach-args", stopped, "--xen").contains("\nxl mem-max DOMAIN 1025m\n"))
        try daemon.expectFailure(66, "There is no vGPU", "attach-args", unknownUUID, "--xen")
        try daemon.expectFailure(64, "There is no device type 'quantum'", "attach-args", "quantum", "--xen")
        try daemon.expectFailure(64, "has no option 'x'", "attach-args", "serial", "--xen", "-o", "x=1")
        try daemon.expectFailure(64, "--option goes with a type", "attach-args", vgpu.uuid, "--xen", "-o", "x=1")
        try daemon.expectFailure(64, "--option goes with a type", "attach-args", "serial", "-o", "line=none")
        try daemon.expectFailure(
            64, "No domain has", "attach-args", "bochs-display", "--xen", "--memory", "8796093022207M")
    }
}
