import Control
import Linux
import PCI
import Testing
import XenSlot

/// The command line of a device process: who starts one writes it, and the process reads it.
@Suite struct DeviceArgumentsTests {
    // MARK: What is written is read

    private static let display = DeviceArguments.Function("bochs-display", socket: "/run/display")

    private static let inSlot = DeviceArguments.Function(
        "serial",
        in: DomainSlot(domain: 0x7fef, address: FunctionAddress(bus: 0x1f, device: 31, function: 7)!),
        control: "/run/control")

    private static func function(_ change: (inout DeviceArguments.Function) -> Void) -> DeviceArguments {
        var function = display
        change(&function)
        return DeviceArguments(function)
    }

    private static func process(_ change: (inout DeviceArguments) -> Void) -> DeviceArguments {
        var arguments = DeviceArguments(display)
        change(&arguments)
        return arguments
    }

    private static let everything: DeviceArguments = {
        var keyboard = DeviceArguments.Function("serial", socket: "--socket")
        keyboard.options = ["line=pty", "--option", ""]
        keyboard.control = "elsewhere"
        keyboard.socketDescriptor = 3
        keyboard.controlDescriptor = .max
        keyboard.state = .descriptor(4)
        keyboard.name = "the keyboard"
        var arguments = DeviceArguments(display, keyboard)
        arguments.functions[0].state = .file("a state")
        arguments.startDescriptor = 5
        arguments.mode = 0o660
        arguments.isPolling = true
        arguments.allowedPeers = AllowedPeers(users: [0, 1001, .max - 1], groups: [7])
        arguments.identity = DeviceArguments.Identity(user: 1, group: .max - 1)
        arguments.isSandboxed = true
        arguments.memory = 1 << 30
        return arguments
    }()

    @Test(arguments: [
        DeviceArguments(display), everything,
        function { $0.options = ["vram=4M", "vram=4M"] }, function { $0.control = "c" },
        function { $0.socketDescriptor = 3 }, function { $0.controlDescriptor = 3 },
        function { $0.state = .file("--restore") }, function { $0.state = .descriptor(3) }, function { $0.name = "" },
        process { $0.startDescriptor = 3 }, process { $0.mode = 0 }, process { $0.mode = 0o777 },
        process { $0.isPolling = true }, process { $0.isSandboxed = true }, process { $0.memory = 32 << 20 },
        process { $0.allowedPeers = AllowedPeers(users: [1]) }, process { $0.allowedPeers = AllowedPeers(groups: [0]) },
        process { $0.identity = DeviceArguments.Identity(user: 2, group: 3) }, DeviceArguments(inSlot),
        DeviceArguments.staying(inSlot), DeviceArguments.identified(inSlot, "6f9d 1"),
        DeviceArguments.identified(inSlot, String(repeating: "x", count: 48)),
    ])
    func whatIsWrittenIsRead(arguments: DeviceArguments) throws {
        #expect(try DeviceArguments(words: arguments.words) == arguments)
    }

    @Test func whoLetsNobodyInDoesNotLetEverybodyIn() throws {
        let arguments = Self.process { $0.allowedPeers = AllowedPeers() }
        let read = try #require(try DeviceArguments(words: arguments.words).allowedPeers)
        // Root is a client in any case.
        #expect(read.users.subtracting([0]).isEmpty && read.groups.isEmpty)
    }

    @Test func optionsBelongToTheTypeBeforeThem() throws {
        let words = "--sandbox serial --name a --socket 1 --mode 0660 exerciser --socket 2 --option x=1 --name b"
        let arguments = try DeviceArguments(words: words.split(separator: " ").map(String.init))
        var first = DeviceArguments.Function("serial", socket: "1")
        first.name = "a"
        var second = DeviceArguments.Function("exerciser", socket: "2")
        second.options = ["x=1"]
        second.name = "b"
        #expect(arguments.functions == [first, second])
        #expect(arguments.isSandboxed && arguments.mode == 0o660)
    }

    @Test func everyInheritedDescriptorIsToldWithItsOption() throws {
        let inherited = Self.everything.inherited.map { "\($0.option.rawValue) \($0.descriptor)" }
        #expect(inherited == ["--start-fd 5", "--socket-fd 3", "--control-fd \(Int32.max)", "--state-fd 4"])
    }

    // MARK: What is wrong

    private static let descriptor = "must be the number of an inherited descriptor, from 3 on."

    @Test(arguments: [
        ("", "The device's type is missing."),
        ("--sandbox", "The device's type is missing."),
        ("--socket s serial", "--socket is an option of a device, and stands behind the device's type."),
        ("serial", "--socket PATH of 'serial' is missing."),
        ("serial --socket s exerciser", "--socket PATH of 'exerciser' is missing."),
        ("serial --socket", "--socket needs a value."),
        ("serial --socket s --socket t", "--socket is given twice; give it once."),
        ("serial --socket s --sandbox --sandbox", "--sandbox is given twice; give it once."),
        ("serial --socket s exerciser --socket s", "'s' is the path of two sockets."),
        ("serial --socket s --control s", "'s' is the path of two sockets."),
        ("serial --socket s exerciser --socket s.control", "'s.control' is the path of two sockets."),
        ("serial --socket s --stay", "--stay is about the end of a domain, and no function is in a domain's slot."),
        ("serial --socket s --quick", "'--quick' is not understood."),
        ("serial --socket s --mode 0999", "--mode is '0999' but must be octal, such as 0660."),
        ("serial --socket s --mode 1777", "--mode is '1777' but must be octal, such as 0660."),
        ("serial --socket s --socket-fd 2", "--socket-fd is '2' but \(descriptor)"),
        ("serial --socket s --start-fd x", "--start-fd is 'x' but \(descriptor)"),
        ("serial --socket s --socket-fd 3 --start-fd 3", "--socket-fd is 3, but that descriptor is given already."),
        (
            "serial --socket s --socket-fd 3 exerciser --socket t --socket-fd 3",
            "--socket-fd is 3, but that descriptor is given already."
        ),
        ("serial --socket s --restore f --state-fd 3", "--restore and --state-fd both give a state; give one."),
        ("serial --socket s --state-fd 3 --restore f", "--restore and --state-fd both give a state; give one."),
        ("serial --socket s --uid 1", "--uid and --gid belong together; give both or none."),
        ("serial --socket s --gid 1", "--uid and --gid belong together; give both or none."),
        ("serial --socket s --uid 0 --gid 1", "--uid is '0' but must be a user's number, other than root's."),
        ("serial --socket s --uid 1 --gid 0", "--gid is '0' but must be a group's number, other than root's."),
        ("serial --socket s --allow-user root", "--allow-user is 'root' but must be a number."),
        ("serial --socket s --allow-group 4294967295", "--allow-group is '4294967295' but must be a number."),
        ("serial --xen 7 --control c", "--xen and --slot belong together; give both or none."),
        ("serial --slot 00:05.0 --control c exerciser", "--xen and --slot belong together; give both or none."),
        ("serial --xen 7 --slot 00:05.0", "--control PATH of 'serial' is missing."),
        (
            "serial --xen 7 --slot 00:05.0 --control c --socket s",
            "'serial' is in a domain's slot, and has no socket for clients."
        ),
        (
            "serial --xen 7 --slot 00:05.0 --control c --poll",
            "--poll is about clients of a socket, and every function is in a domain's slot."
        ),
        (
            "serial --xen 7 --slot 00:05.0 --control c --allow-group 1",
            "--allow-user and --allow-group are about clients of a socket, and every function is in a domain's slot."
        ),
        (
            "serial --socket s --identity a", "--identity is about a domain's slot, and 'serial' is in none."
        ),
        (
            "serial --xen 7 --slot 00:05.0 --control c --identity \(String(repeating: "x", count: 49))",
            "--identity has 49 bytes but must have 1 to 48."
        ),
        ("serial --xen 0 --slot 00:05.0", "--xen is '0' but must be the number of a domain, from 1 on."),
        ("serial --xen 7 --slot 5", "--slot is '5' but must be BB:DD.F, such as 00:05.0."),
        (
            "serial --xen 7 --slot 00:05.0 --control c exerciser --xen 7 --slot 00:06.0 --control c",
            "'c' is the path of two sockets."
        ),
        ("serial --socket s --memory 1024", "--memory is '1024' but must be a number of bytes, from 33554432 on."),
    ])
    func whatIsWrongIsSaidInASentence(line: String, problem: String) {
        let error = #expect(throws: DeviceArguments.Problem.self) {
            try DeviceArguments(words: line.split(separator: " ").map(String.init))
        }
        #expect(error?.description == problem)
    }

    @Test func anEmptyWordIsNoType() {
        let error = #expect(throws: DeviceArguments.Problem.self) { try DeviceArguments(words: [""]) }
        #expect(error?.description == "'' is not understood.")
    }

    @Test func aProcessServesAsManyFunctionsAsAPCIDeviceHas() throws {
        let functions = (0..<9).map { DeviceArguments.Function("serial", socket: "\($0)") }
        let most = try DeviceArguments(words: functions.prefix(8).flatMap { DeviceArguments($0).words })
        #expect(most.functions.count == 8)
        let error = #expect(throws: DeviceArguments.Problem.self) {
            try DeviceArguments(words: functions.flatMap { DeviceArguments($0).words })
        }
        #expect(error?.description == "A process serves at most 8 functions, not 9.")
    }
}

extension DeviceArguments {
    fileprivate static func staying(_ function: Function) -> Self {
        var arguments = DeviceArguments(function)
        arguments.stays = true
        return arguments
    }
    fileprivate static func identified(_ function: Function, _ identity: String) -> Self {
        var function = function
        function.identity = identity
        return DeviceArguments(function)
    }
}
