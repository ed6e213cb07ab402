import FakeQEMU
import JSON
import Testing

@testable import QMP

@Suite struct HotPlugTests {
    private func withMachine(
        _ answers: [String: [JSON]], _ body: (HotPlug, FakeQEMU) throws -> Void
    ) throws {
        try withFakeQEMU(answers) { qemu, path in try body(HotPlug(QMPClient(connectingTo: path)), qemu) }
    }

    private func machine(_ changes: [String: [JSON]]) -> [String: [JSON]] {
        FakeQEMU.machine.merging(changes) { $1 }
    }

    private func occupied(_ changes: [String: [JSON]] = [:]) -> [String: [JSON]] {
        FakeQEMU.occupiedMachine.merging(changes) { $1 }
    }

    // MARK: Attaching

    @Test func aDeviceGoesIntoTheFreePort() throws {
        try withMachine(FakeQEMU.machine) { machine, qemu throws in
            try machine.checkMachine()
            let attachment = try machine.attach(socket: "/run/vgpu")
            #expect(attachment.id == "vgpu0" && attachment.bus == "rp")
            let function = try #require(attachment.function)
            #expect((function.bus, function.device, function.function) == (1, 0, 0))
            #expect(function.shortage == nil && function.isEnabled && attachment.guest == .enabled)
            let expected: JSON = [
                "driver": "vfio-user-pci", "id": "vgpu0", "bus": "rp", "socket": ["type": "unix", "path": "/run/vgpu"],
            ]
            #expect(qemu.requests("device_add") == [expected])
        }
    }

    @Test func theChosenIdentifierAndBusAreTaken() throws {
        try withMachine(occupied()) { machine, qemu throws in
            let attachment = try machine.attach(socket: "/run/other", id: "gpu", bus: "br", within: .zero)
            #expect(attachment.id == "gpu" && attachment.bus == "br" && attachment.function == nil)
            #expect(qemu.requests("device_add").first?["bus"] == "br")
        }
    }

    @Test func identifiersThatAreTakenAreLeftOut() throws {
        let list = FakeQEMU.properties([
            "rp": "child<pcie-root-port>", "vgpu0": "child<vfio-user-pci>", "vgpu1": "child<nvme>",
        ])
        try withMachine(machine(["qom-list /machine/peripheral": [list]])) { machine, _ throws in
            #expect(try machine.attach(socket: "/run/vgpu", within: .zero).id == "vgpu2")
        }
    }

    @Test func portsThatAreTakenOrFixedAreLeftOut() throws {
        let ports = FakeQEMU.properties([
            "a": "child<pcie-root-port>", "b": "child<pcie-root-port>", "rp": "child<pcie-root-port>",
        ])
        let changes: [String: [JSON]] = [
            "qom-list /machine/peripheral": [ports],
            "qom-get /machine/peripheral/a": [["return": false]],
            "qom-get /machine/peripheral/b": [["return": true]],
            "qom-list /machine/peripheral/b": [FakeQEMU.properties(["b": "child<PCIE>"])],
            "qom-list /machine/peripheral/b/b": [FakeQEMU.properties(["child[3]": "link<nvme>"])],
        ]
        try withMachine(machine(changes)) { machine, _ throws in
            #expect(try machine.attach(socket: "/run/vgpu").bus == "rp")
        }
    }

    @Test func aPCWithoutPCIExpressHasItsRootBus() throws {
        let changes: [String: [JSON]] = [
            "qom-list /machine/peripheral": [FakeQEMU.properties([:])],
            "qom-list /machine/i440fx/pci.0": [FakeQEMU.properties(["acpi-pcihp-bsel": "uint32"])],
        ]
        try withMachine(machine(changes)) { machine, _ throws in
            #expect(try machine.attach(socket: "/run/vgpu").bus == "pci.0")
        }
    }

    @Test func noFreePortIsSaidSo() throws {
        try withMachine(occupied()) { machine, qemu throws in
            #expect(throws: HotPlugError.noFreePort(ports: ["rp"])) { try machine.attach(socket: "/run/vgpu") }
            #expect(qemu.requests("device_add").isEmpty)
        }
        let none = ["qom-list /machine/peripheral": [FakeQEMU.properties([:])]]
        try withMachine(machine(none)) { machine, _ throws in
            let error = #expect(throws: HotPlugError.self) { try machine.attach(socket: "/run/vgpu") }
            #expect(error?.description.contains("-device pcie-root-port") == true)
        }
    }

    @Test func aQEMUWithoutVFIOUserIsSaidSo() throws {
        try withMachine(machine(["qom-list-types vfio-user-pci": [["return": []]]])) { machine, _ throws in
            #expect(throws: HotPlugError.noDriver(version: "11.1.3")) { try machine.checkMachine() }
        }
    }

    @Test(
        arguments: [
            ([["id": "mem", "share": true], ["id": "pc.ram", "share": false]], "pc.ram"), ([["id": "m"]], "m"),
            ([], nil),
        ] as [(JSON, String?)])
    func privateMemoryIsRefusedUnlessAllowed(backends: JSON, name: String?) throws {
        try withMachine(machine(["query-memdev": [["return": backends]]])) { machine, _ throws in
            #expect(throws: HotPlugError.privateMemory(backend: name)) { try machine.checkMachine() }
            try machine.checkMachine(allowsPrivateMemory: true)
        }
    }

    @Test(arguments: ["setup", "active", "postcopy-paused", "cancelling", "device", "of-tomorrow"])
    func aMigrationIsWaitedFor(status: String) throws {
        try withMachine(machine(["query-migrate": [["return": ["status": .string(status)]]]])) { machine, _ throws in
            #expect(throws: HotPlugError.migrating(status: status)) {
                try machine.checkMachine(allowsPrivateMemory: true)
            }
        }
    }

    @Test func aMachineThatIsStillToArriveTakesNoDevice() throws {
        try withMachine(machine(["query-status": [["return": ["status": "inmigrate"]]]])) { machine, _ in
            #expect(throws: HotPlugError.migrating(status: "inmigrate")) { try machine.checkMachine() }
        }
    }

    @Test(arguments: ["none", "completed", "failed", "cancelled"])
    func aMigrationThatIsOverIsNoHindrance(status: String) throws {
        try withMachine(machine(["query-migrate": [["return": ["status": .string(status)]]]])) { machine, _ throws in
            try machine.checkMachine()
        }
    }

    @Test(arguments: [
        // A display of 16 MiB and 4 KiB.
        (2 << 20, 2 << 20, true), (16 << 20, 4096, false), (16 << 20, 0, true), (0, 17 << 20, false),
        (0, 16 << 20, true),
    ])
    func aPortWithTooLittleRoomIsNoted(prefetchable: Int, other: Int, isShort: Bool) throws {
        let port = FakeQEMU.port(holding: [FakeQEMU.display], prefetchable: prefetchable, other: other)
        try withMachine(machine(["query-pci": [FakeQEMU.buses(port: port)]])) { machine, _ throws in
            let function = try #require(try machine.attach(socket: "/run/vgpu").function)
            let shortage = PCIFunction.Shortage(
                needed: .init(prefetchable: 16 << 20, other: 4096),
                available: .init(prefetchable: prefetchable, other: other))
            #expect(function.shortage == (isShort ? shortage : nil))
        }
    }

    @Test func aGuestThatEnablesTheDeviceLaterIsWaitedFor() throws {
        let changes = [
            "query-pci": [FakeQEMU.buses(port: FakeQEMU.port(holding: [FakeQEMU.newDisplay]))],
            "query-pci 3": [FakeQEMU.buses(port: FakeQEMU.port(holding: [FakeQEMU.display]))],
        ]
        try withMachine(machine(changes)) { machine, qemu throws in
            #expect(try machine.attach(socket: "/run/vgpu", within: .seconds(60)).guest == .enabled)
            #expect(qemu.requests("query-pci").count == 3)
        }
    }

    @Test func aGuestThatEnablesNothingIsNotWaitedForForever() throws {
        let port = FakeQEMU.port(holding: [FakeQEMU.newDisplay])
        try withMachine(machine(["query-pci": [FakeQEMU.buses(port: port)]])) { machine, _ throws in
            let attachment = try machine.attach(socket: "/run/vgpu", within: .milliseconds(20))
            #expect(attachment.guest == .notEnabled(after: .milliseconds(20), status: "running"))
            #expect(attachment.function?.isEnabled == false)
        }
    }

    @Test(arguments: ["prelaunch", "paused", "suspended"])
    func aGuestThatStandsStillIsNotWaitedFor(status: String) throws {
        let changes: [String: [JSON]] = [
            "query-pci": [FakeQEMU.buses(port: FakeQEMU.port(holding: [FakeQEMU.newDisplay]))],
            "query-status": [["return": ["status": .string(status)]]],
        ]
        try withMachine(machine(changes)) { machine, qemu throws in
            let attachment = try machine.attach(socket: "/run/vgpu", within: .seconds(3600))
            #expect(attachment.guest == .notEnabled(after: .seconds(3600), status: status))
            #expect(qemu.requests("query-pci").count == 1)
        }
    }

    @Test func whatQEMURefusesIsRefused() throws {
        let desc = "Duplicate device ID 'vgpu0'"
        try withMachine(machine(["device_add": [["error": ["class": "GenericError", "desc": .string(desc)]]]])) {
            machine, _ throws in
            #expect(throws: QMPError.refused(command: "device_add", class: .generic, description: desc)) {
                try machine.attach(socket: "/run/vgpu")
            }
        }
    }

    // MARK: Detaching

    @Test(arguments: [("vgpu0", nil), ("whatever", "/run/vgpu"), ("vgpu0", "/elsewhere")])
    func aDeviceIsFoundByIdentifierAndBySocket(name: String, socket: String?) throws {
        try withMachine(occupied()) { machine, qemu throws in
            try machine.detach(name, socket: socket)
            #expect(qemu.requests("device_del") == [["id": "vgpu0"]])
        }
    }

    @Test func namesOfSocketsAreComparedAsQEMUWritesThem() throws {
        let part = #"vfio-user:\x2fa \x5b1\x5d\x5c BAR 2[0]"#
        let changes = ["qom-list /machine/peripheral/vgpu0": [FakeQEMU.properties([part: "child<memory-region>"])]]
        try withMachine(occupied(changes)) { machine, qemu in
            #expect(throws: HotPlugError.self) { try machine.detach("x", socket: "/a") }
            try machine.detach("x", socket: #"/a [1]\"#)
            #expect(qemu.requests("device_del") == [["id": "vgpu0"]])
        }
    }

    @Test func whatIsNoVFIOUserDeviceStays() throws {
        try withMachine(occupied()) { machine, qemu throws in
            #expect(throws: HotPlugError.otherDevice(id: "disk")) { try machine.detach("disk", socket: nil) }
            #expect(throws: HotPlugError.noSuchDevice("vgpu7", others: ["vgpu0"])) {
                try machine.detach("vgpu7", socket: "/run/vgp")
            }
            #expect(qemu.requests("device_del").isEmpty)
        }
        try withMachine(FakeQEMU.machine) { machine, _ throws in
            #expect(throws: HotPlugError.noSuchDevice("vgpu0", others: [])) {
                try machine.detach("vgpu0", socket: nil)
            }
        }
    }

    @Test func aDeviceWithMSIXStaysUnlessAllowed() throws {
        let parts = FakeQEMU.properties(["msix-table[0]": "child<memory-region>"])
        try withMachine(occupied(["qom-list /machine/peripheral/vgpu0": [parts]])) { machine, qemu throws in
            #expect(throws: HotPlugError.hasMSIX(id: "vgpu0")) { try machine.detach("vgpu0", socket: nil) }
            #expect(qemu.requests("device_del").isEmpty)
            try machine.detach("vgpu0", socket: nil, allowsMSIX: true)
            #expect(qemu.requests("device_del") == [["id": "vgpu0"]])
        }
    }

    @Test func aGuestThatRefusesIsSaidSo() throws {
        let answers: [JSON] = [
            ["return": [:]], FakeQEMU.event("DEVICE_UNPLUG_GUEST_ERROR", path: "/machine/peripheral/vgpu0"),
        ]
        try withMachine(occupied(["device_del": answers])) { machine, _ throws in
            #expect(throws: HotPlugError.guestRefused(id: "vgpu0")) { try machine.detach("vgpu0", socket: nil) }
        }
    }

    @Test(arguments: [("running", "hot-plug"), ("paused", "not running (paused)")])
    func aGuestThatDoesNotAnswerIsNotWaitedForForever(status: String, word: String) throws {
        let changes: [String: [JSON]] = [
            "device_del": [["return": [:]]], "query-status": [["return": ["status": .string(status)]]],
        ]
        try withMachine(occupied(changes)) { machine, _ throws in
            let error = #expect(throws: HotPlugError.self) {
                try machine.detach("vgpu0", socket: nil, within: .milliseconds(20))
            }
            #expect(error == .noAnswer(id: "vgpu0", after: .milliseconds(20), status: status))
            #expect(error?.description.contains(word) == true)
        }
    }

    @Test func aQEMUThatEndsMeanwhileIsSaidSo() throws {
        try withMachine(occupied(["device_del": []])) { machine, _ throws in
            #expect(throws: QMPError.closed) { try machine.detach("vgpu0", socket: nil) }
        }
    }

    @Test(arguments: ["qom-list /machine/peripheral", "qom-list-types vfio-user-pci", "query-memdev"])
    func answersOfTheWrongShapeAreRefused(command: String) throws {
        try withMachine(machine([command: [["return": "x"]]])) { machine, _ throws in
            #expect(throws: QMPError.self) {
                try machine.checkMachine()
                _ = try machine.attach(socket: "/run/vgpu")
            }
        }
    }
}
