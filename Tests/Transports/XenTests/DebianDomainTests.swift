import Lab
import Testing

/// Domains that Xen's own tools make, with the drivers of Debian's kernels on devices of this project.
///
/// Of Xen 4.17 these domains stop before they have a console when QEMU emulates the machine, with devices of this
/// project and without any, whichever kernel they have.
@Suite(
    .serialized, .enabled(if: Lab.isThorough, "`make xen` runs it"),
    .enabled(if: XenMachine.Release.debian13.hasTools, "`Lab/setup --xen` brings Xen's tools"))
struct DebianDomainTests {
    private static let programs = ["XenProbe", "mediated-device"]
    private static let kernelOptions = "quiet loglevel=0 panic=-1 iomem=relaxed 8250.nr_uarts=16"

    private static let pvh = [
        "type=\"pvh\"", "kernel=\"/domain/vmlinux\"", "ramdisk=\"/domain/initrd\"", "memory=256",
        "cmdline=\"console=hvc0 pci=conf1,noacpi \(kernelOptions)\"",
    ]

    /// With nothing but devices of this project: no QEMU, and no firmware. No serial card either: its driver wants a
    /// pin, which such a domain has no controller for.
    @Test func aPVHDomainsStockDriversFindTheirDevices() throws {
        let machine = try XenMachine.withTools(.debian13, programs: Self.programs)
        let domain = try machine.create("pvh", Self.pvh)
        // For the frames behind the display's BAR.
        try machine.tool("xl", "mem-max pvh 320")
        let display = try machine.serve("bochs-display", slot: "00:02.0", of: domain)
        _ = try machine.serve("virtio-rng", slot: "00:05.0", of: domain)
        try machine.tool("xl", "unpause pvh")
        let guest = DomainConsole(of: domain, in: machine)
        try guest.awaitReady()
        #expect(try guest.run("cat /proc/fb").output.contains("bochs"))
        #expect(try guest.run("fbpattern --mode 1024x768").output == "drm 1024x768 stride 4096 bpp 32 done")
        #expect(try guest.run("cat /sys/class/misc/hw_random/rng_current").output.hasPrefix("virtio_rng"))
        #expect(try guest.run("head -c 4096 /dev/hwrng | wc -c").output == "4096")
        try expectPattern(on: display, in: machine, width: 1024, height: 768)
        let outcome = try guest.run("fbpattern --mode 800x600")
        #expect(outcome.status == 0, "\(outcome.output)")
        try expectPattern(on: display, in: machine, width: 800, height: 600)
    }

    /// Each of them waits for its own answer, and both ask at any time.
    @Test func processorsAskSideBySide() throws {
        let machine = try XenMachine.withTools(.debian13, programs: Self.programs)
        let domain = try machine.create("pair", processors: 2, Self.pvh)
        _ = try machine.serve("exerciser", slot: "00:04.0", of: domain)
        try machine.tool("xl", "unpause pair")
        let guest = DomainConsole(of: domain, in: machine)
        try guest.awaitReady()
        #expect(try guest.run("grep -c ^processor /proc/cpuinfo").output == "2")
        // Each has a register of its own, and half of the other's would be seen in it.
        let (rounds, reads) = (4, 100)
        func hammer(_ processor: Int, _ register: String, _ value: String) -> String {
            "(for round in $(seq \(rounds)); do taskset \(1 << processor) pcimem 00:04.0 0 w4 \(register) \(value) "
                + String(repeating: "r4 \(register) ", count: reads) + "; done) | sort | uniq -c >/tmp/\(processor)"
        }
        let counted = "pcimem 00:04.0 0 r8 0x60"
        let before = try guest.run(counted).output
        try guest.run(
            "\(hammer(0, "0x04", "0x11111111")) & first=$!; \(hammer(1, "0x08", "0x22222222")); wait $first")
        let after = try guest.run(counted).output
        let number = { (text: String) in text.split(separator: "x").last.flatMap { Int($0, radix: 16) } ?? -1 }
        // Its own read is counted when it is done.
        #expect(number(after) - number(before) == 2 * rounds * reads + 1)
        for (processor, value) in [(0, "0x11111111"), (1, "0x22222222")] {
            let seen = try guest.run("cat /tmp/\(processor)").output.split(separator: " ")
            #expect(seen == ["\(rounds * reads)", value[...]], "what processor \(processor) has read")
        }
    }

    /// By the daemon and xl, as an administrator does it.
    @Test func aVGPUOfTheDaemonsIsInADomainWhileThatIsThere() throws {
        let programs = ["mediated", "mediated-daemon"] + Self.programs
        let machine = try XenMachine.withTools(.debian13, programs: programs)
        try machine.addXL()
        let mediated = "MEDIATED_ROOT=/run/mediated \(try XenMachine.path("mediated"))"
        try machine.begin("\(XenMachine.path("mediated-daemon")) --root /run/mediated", until: "Serving at")
        let vgpu = try machine.command("\(mediated) start -t bochs-display")
        let control = "/run/mediated/run/control/\(vgpu).sock"
        func attach(to name: String, number: Int) throws {
            let placed = try machine.command("\(mediated) attach \(vgpu) --xen \(name)")
            #expect(placed.split(whereSeparator: \.isWhitespace).map(String.init).contains("\(number)"), "\(placed)")
        }
        func drawsPattern(in domain: Int, width: Int, height: Int) throws {
            let guest = DomainConsole(of: domain, in: machine)
            let outcome = try guest.run("fbpattern --mode \(width)x\(height)")
            #expect(outcome.status == 0, "\(outcome.output)")
            try expectPattern(on: control, in: machine, width: width, height: height)
        }
        /// What ends the domain has the vGPU detached, and running.
        func expectDetached(from domain: Int, by end: () throws -> Void) throws {
            // Whoever opens it for both directions waits for nobody.
            try machine.command(
                "mkfifo /run/journal-\(domain); exec 3<>/run/journal-\(domain); "
                    + "\(mediated) events \(vgpu) --follow >&3 & echo $! >/run/follower")
            try end()
            let told = try machine.command(
                "while read -r line; do case $line in *detached*\"Domain \(domain) \"*) echo $line; break ;; esac; done "
                    + "</run/journal-\(domain); kill $(cat /run/follower)")
            #expect(told.contains("detached"), "\(told)")
            #expect(try machine.command("\(mediated) list").contains("running"))
        }

        let first = try machine.create("first", Self.pvh + ["on_reboot=\"destroy\""])
        try machine.tool("xl", "mem-max first 320")
        try attach(to: "first", number: first)
        try machine.tool("xl", "unpause first")
        try DomainConsole(of: first, in: machine).awaitReady()
        try drawsPattern(in: first, width: 800, height: 600)
        let again = try machine.run("\(mediated) attach \(vgpu) --xen first")
        #expect(again.status != 0 && again.output.contains("already"), "\(again.output)")

        // While nobody runs there, what is shown stays.
        try machine.tool("xl", "pause first")
        try expectPattern(on: control, in: machine, width: 800, height: 600)
        try machine.tool("xl", "unpause first")
        try drawsPattern(in: first, width: 640, height: 480)

        try expectDetached(from: first) { try DomainConsole(of: first, in: machine).start("reboot -f") }
        let second = try machine.create("second", Self.pvh)
        try machine.tool("xl", "mem-max second 320")
        try attach(to: "second", number: second)
        try machine.tool("xl", "unpause second")
        try DomainConsole(of: second, in: machine).awaitReady()
        try drawsPattern(in: second, width: 800, height: 600)
        try expectDetached(from: second) { try machine.tool("xl", "destroy second") }
    }

    /// Beside Xen's QEMU, which has all the rest of a PC. Its firmware finds our functions and gives BARs their places.
    @Test func anHVMDomainsStockDriversFindTheirDevices() throws {
        let machine = try XenMachine.withTools(.debian13, programs: Self.programs)
        let domain = try machine.create(
            "hvm",
            [
                "type=\"hvm\"", "kernel=\"/domain/bzImage\"", "ramdisk=\"/domain/initrd\"", "memory=384",
                "vga=\"none\"", "vnc=0", "usb=0", "serial=\"pty\"", "xen_platform_pci=0",
                "cmdline=\"console=ttyS0 \(Self.kernelOptions)\"",
            ])
        let display = try machine.serve("virtio-gpu", slot: "00:06.0", of: domain)
        _ = try machine.serve("serial", slot: "00:07.0", of: domain, options: ["line=pty:/run/line"])
        try machine.tool("xl", "unpause hvm")
        let guest = DomainConsole(of: domain, in: machine, at: "serial/0/tty")
        try guest.awaitReady()
        #expect(try guest.run("cat /proc/fb").output.contains("virtio_gpu"))
        #expect(try guest.run("echo To whom it may concern >/dev/tty1").status == 0)
        // The kernel brings its console to the display when it finds the time.
        var bright = 0
        for _ in 0..<20 where bright <= 1000 {
            bright = try machine.picture(of: display).rows.joined().count { $0 > 0x80 }
        }
        #expect(bright > 1000, "letters, on a screen that is black")
        let outcome = try guest.run("fbpattern --mode 1024x768")
        #expect(outcome.output == "drm 1024x768 stride 4096 bpp 32 done")
        try expectPattern(on: display, in: machine, width: 1024, height: 768)
        try moveBytes(over: "00:07.0", of: guest, in: machine)
    }

    /// A known stream both ways: the same program is at both ends of the line.
    private func moveBytes(over slot: String, of guest: DomainConsole, in machine: XenMachine) throws {
        let count = 4096
        func serial(_ port: String, _ arguments: String) -> String { "serial \(port) --timeout 300 \(arguments)" }
        // Both ends let all bytes through from now on, and the domain's has somebody who keeps it open: a driver that
        // opens it throws away what has come before.
        try machine.command("stty raw -echo </run/line")
        let port = try guest.run("ttyof \(slot)").output
        #expect(port.hasPrefix("/dev/ttyS"), "\(port)")
        try guest.run("\(serial(port, "lines")); mkfifo /tmp/report; sleep 100000 <>\(port) &")
        for (theirs, ours) in [("receive", "send"), ("send", "receive")] {
            let command = serial("$(ttyof \(slot))", "\(theirs) \(count)")
            try guest.run("{ \(command) >/tmp/said 2>&1; cat /tmp/said >/tmp/report; } &")
            let outcome = try machine.run(serial("/run/line", "\(ours) \(count)"))
            #expect(outcome.status == 0, "\(outcome.output)")
            let report = try guest.run("cat /tmp/report").output
            #expect(report.contains("\(theirs == "send" ? "sent" : "received") \(count)"), "\(report)")
            #expect(report.contains("wrong 0 overrun 0"), "\(report)")
        }
    }

    private func expectPattern(on display: String, in machine: XenMachine, width: Int, height: Int) throws {
        let picture = try machine.picture(of: display)
        #expect(picture.width == width && picture.height == height)
        let wrong = picture.rows.indices.filter { picture.rows[$0] != patternRow($0, width: width) }
        #expect(wrong.isEmpty, "lines that differ: \(wrong.prefix(8))")
    }
}
