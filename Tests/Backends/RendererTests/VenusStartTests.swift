import Foundation
import JSON
import Lab
import Linux
import Programs
import Testing

@testable import Renderer
@testable import Worker

/// What a renderer says that can't have Venus: what is missing, and the way out.
@Suite(.enabled(if: Bench.canHaveVenus, "no Venus in the lab (run `make lab`), or no Landlock in this kernel"))
struct VenusStartTests {
    private static let oldLibrary = "/usr/lib/x86_64-linux-gnu/libvirglrenderer.so.1.7.7"

    /// What a renderer says that is started and ends by itself.
    private func words(
        _ kinds: RendererKinds = .venus, renderNode: String? = nil, window: UInt64 = 4 << 20,
        in environment: [String: String]
    ) throws -> [String] {
        let folder = try Scratch()
        let program = try Lab.venusRenderer(in: folder, environment: environment)
        let link = try UnixSocket.pair(keepsPackets: true)
        let session = try UnixSocket.pair(keepsPackets: true)
        let (commands, replies) = (
            try MessageRing(capacity: WorkerLink.commandCapacity), try MessageRing(capacity: WorkerLink.replyCapacity)
        )
        let (commandBell, replyBell) = (try EventFD(), try EventFD())
        try WorkerLink.send(
            WorkerLink.hello,
            descriptors: [
                commands.memory.file.descriptor.raw, replies.memory.file.descriptor.raw, commandBell.descriptor.raw,
                replyBell.descriptor.raw,
            ], over: session.first)
        let log = folder.path("log")
        let output = try Descriptor(making: log, mode: 0o600)
        let order = RendererOrder(kinds: kinds, renderNode: renderNode, window: window)
        let launcher = try ChildProcess.spawn(
            program, order.arguments, passing: [link.second.descriptor.raw], standardError: output.raw)
        defer { ChildProcess.end(launcher) }
        try WorkerLink.send(
            WorkerLink.start, number: 1 << 30, descriptors: [session.second.descriptor.raw], over: link.first)
        var descriptors = ReceivedDescriptors()
        #expect(try waitReadable([link.first.descriptor.raw], within: .seconds(60)) == [true])
        #expect(try WorkerLink.receive(from: link.first, &descriptors, blocking: false) == .init(WorkerLink.ended))
        return try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test(arguments: [
        (
            ["RENDER_SERVER_EXEC_PATH": "/nowhere/server"],
            "There is no render server at '/nowhere/server', which RENDER_SERVER_EXEC_PATH names."
        ),
        (
            ["UDMABUF_LIMIT": "3"],
            "One buffer of /dev/udmabuf has 3 MiB at most, and the window 4: write 4 to "
                + "/sys/module/udmabuf/parameters/size_limit_mb, or boot with udmabuf.size_limit_mb=4."
        ),
        (
            ["UDMABUF_LIMIT": "none"],
            "The kernel has no /dev/udmabuf: load its module by 'modprobe udmabuf', or take a kernel with "
                + "CONFIG_UDMABUF, such as Debian 13's."
        ),
        (
            ["VK_DRIVER_FILES": "/nowhere/driver.json"],
            "Vulkan's loader finds no software driver: install mesa-vulkan-drivers."
        ),
        (
            ["VK_DRIVER_FILES": "drivers"],
            "VK_DRIVER_FILES has 'drivers', which is no absolute path: write it from '/' on."
        ),
        (
            ["VK_DRIVER_FILES": "/nowhere/driver.json:/"],
            "VK_DRIVER_FILES has the guest's contexts read all of '/', where users' files are: "
                + "name a folder with nothing but drivers in it."
        ),
        (
            ["VK_ADD_DRIVER_FILES": "/usr", "HOME": "/usr/share"],
            "VK_ADD_DRIVER_FILES has the guest's contexts read all of '/usr', where users' files are: "
                + "name a folder with nothing but drivers in it."
        ),
    ])
    func whatIsMissingIsSaid(_ environment: [String: String], _ sentence: String) throws {
        #expect(try words(in: environment) == ["mediated-renderer: \(sentence)"])
    }

    @Test(arguments: [.venus, [.virgl, .venus]] as [RendererKinds])
    func aRenderServerThatDoesNotRunIsSaidAtOnce(_ kinds: RendererKinds) throws {
        let words = try words(kinds, in: Self.environment(server: "/usr/bin/false"))
        let sentence = "virglrenderer's render server, '/usr/bin/false', has ended by itself at its start."
        #expect(words.last == "mediated-renderer: \(sentence)", "\(words)")
    }

    @Test(arguments: [
        ("/nowhere", "'/nowhere' can't be opened: No such file or directory."),
        // One that can be opened and is no graphics device: the software driver doesn't stand in for it.
        (
            "/dev/null",
            "Vulkan's loader finds no driver for '/dev/null': is its driver (mesa-vulkan-drivers) installed?"
        ),
    ])
    func aGraphicsDeviceIsNotReplacedBySoftware(_ renderNode: String, _ sentence: String) throws {
        #expect(try words(renderNode: renderNode, in: [:]) == ["mediated-renderer: \(sentence)"])
    }

    @Test func whatThereIsIsDescribed() throws {
        let folder = try Scratch()
        let program = URL(fileURLWithPath: try Lab.venusRenderer(in: folder))
        let found = try Program.run(program, ["virgl+venus", "--window", "4194304", "--describe"])
        #expect(found.status == 0, "\(found)")
        let json = try JSON(parsing: found.output)
        #expect(json["kinds"] == .array([.string("virgl"), .string("venus")]))
        #expect(json["vulkan"]?.string?.hasPrefix("llvmpipe") == true)
        let poor = URL(fileURLWithPath: try Lab.venusRenderer(in: folder, environment: ["UDMABUF_LIMIT": "none"]))
        let missing = try Program.run(poor, ["venus", "--window", "4194304", "--describe"])
        #expect(missing.status == 70 && missing.output.isEmpty)
        #expect(missing.errors.hasPrefix("mediated-renderer: The kernel has no /dev/udmabuf"))
        #expect(try Program.run(program, ["vulkan", "--describe"]).status == 64)
    }

    /// - Parameter server: in the place of the lab's, beside which the driver's library lies.
    private static func environment(server: String) -> [String: String] {
        let lab = URL(fileURLWithPath: Lab.value("VENUS_RUN")).deletingLastPathComponent().path
        return [
            "RENDER_SERVER_EXEC_PATH": server,
            "VK_DRIVER_FILES": "\(lab)/usr/share/vulkan/icd.d/lvp_icd.json:\(lab)/usr/lib/x86_64-linux-gnu",
        ]
    }

    @Test func aRenderServerReadsWritesAndReachesNothingThatADriverHasNoUseFor() throws {
        let folder = try Scratch()
        let secret = try folder.write("secret", to: "secret")
        // Beside the server is what it may read.
        try FileManager.default.createDirectory(atPath: folder.path("server"), withIntermediateDirectories: false)
        let server = try folder.write(
            """
            #!/bin/bash
            echo begun >&2
            { read -r word </etc/hostname && echo reads; read -r word <'\(secret)' && echo reads a secret; } >&2
            { echo word >'\(folder.path("server/made"))' && echo makes; echo word >>'\(secret)' && echo writes; } >&2
            { exec 9<>/dev/tcp/127.0.0.1/22 && echo connects; } >&2
            { /usr/bin/prlimit --pid $PPID --core=0:0 && echo limits; /usr/bin/taskset -p 1 $PPID && echo pins; } >&2
            { /usr/bin/unshare --user true && echo has a namespace; /usr/bin/setsid true && echo leaves; } >&2
            echo ended >&2
            """, to: "server/server")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: server)
        let words = try words(in: Self.environment(server: server))
        let own = words.filter { !$0.contains(":") }
        #expect(own == ["begun", "ended"], "\(words)")
        for refusal in ["hostname: Permission denied", "made: Operation not permitted", "socket: Operation not"] {
            #expect(words.contains { $0.contains(refusal) }, "\(words)")
        }
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: oldLibrary), "this host has another virglrenderer"))
    func theLibraryOfDebian12HasNoVenus() throws {
        let words = try words(in: ["LD_PRELOAD": Self.oldLibrary])
        #expect(
            words.last?.hasPrefix("mediated-renderer: virglrenderer, libvirglrenderer.so.1, has no Venus") == true,
            "\(words)")
    }
}
