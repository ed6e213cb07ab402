import Foundation
import Lab
import Linux
import Programs
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// A libvirtd of a test's own.
final class Libvirt {
    private let process = Process()
    private let folder: Scratch
    private var socket: String { folder.path("root/run/libvirt/libvirt-sock") }

    /// Starts the daemon and waits until it serves.
    init() throws {
        folder = try Scratch()
        process.executableURL = URL(fileURLWithPath: Lab.value("LIBVIRTD"))
        process.arguments = [folder.path("root")]
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<600 {
            if (try? UnixSocket(connectingTo: socket)) != nil { return }
            guard process.isRunning else { break }
            _ = poll(nil, 0, 100)
        }
        throw GuestError("libvirtd made no socket at '\(socket)'.")
    }

    deinit {
        // Its guests end with it.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Runs `virsh`.
    @discardableResult
    func virsh(_ arguments: String...) throws -> String {
        let virsh = URL(fileURLWithPath: Lab.value("VIRSH"))
        let outcome = try Program.run(virsh, ["-c", "qemu+unix:///system?socket=\(socket)"] + arguments)
        guard outcome.status == 0 else { throw GuestError("virsh \(arguments): \(outcome.errors)") }
        return outcome.output
    }

    /// Defines a domain, after libvirt's schema, and starts it.
    func start(_ domain: XMLDocument) throws {
        let file = folder.path("domain.xml")
        try domain.xmlData.write(to: URL(fileURLWithPath: file))
        try virsh("define", "--validate", file)
        try virsh("start", "lab")
    }
}

/// A domain of libvirt's with the lab's guest in it.
final class Domain: Guest {
    private let socket: UnixSocket
    let agent: Agent

    /// Starts the domain.
    ///
    /// - Parameter elements: a document whose elements the domain has, besides those of a small q35 machine.
    init(_ elements: String, in libvirt: Libvirt) throws {
        let folder = try Scratch()
        // libvirt's end connects, so that nothing of what the guest says is lost.
        let listener = try UnixListener(path: folder.path("serial"))
        let domain = try XMLDocument(xmlString: elements)
        let root = try #require(domain.rootElement())
        let machine = try XMLDocument(xmlString: Self.machine(serial: listener.path))
        for attribute in machine.rootElement()?.attributes ?? [] {
            attribute.detach()
            root.addAttribute(attribute)
        }
        for element in machine.rootElement()?.children ?? [] {
            element.detach()
            root.addChild(element)
        }
        try libvirt.start(domain)
        var entry = pollfd(fd: listener.descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 60_000) > 0, let socket = try listener.accept() else {
            throw GuestError("The domain's QEMU doesn't connect its serial port.")
        }
        let handle = FileHandle(fileDescriptor: socket.descriptor.raw, closeOnDealloc: false)
        self.socket = socket
        agent = Agent(reading: handle, writing: handle)
    }

    /// What a domain must have, less its memory.
    private static func machine(serial: String) -> String {
        """
        <domain type="qemu">
          <name>lab</name>
          <vcpu>1</vcpu>
          <os>
            <type arch="x86_64" machine="q35">hvm</type>
            <kernel>\(Lab.value("KERNEL_6_1"))</kernel>
            <initrd>\(Lab.value("INITRD_6_1"))</initrd>
            <cmdline>\(Lab.value("APPEND"))</cmdline>
          </os>
          <features><acpi/></features>
          <cpu mode="maximum"/>
          <devices>
            <emulator>\(Lab.value("QEMU"))</emulator>
            <serial type="unix">
              <source mode="connect" path="\(serial)"/>
              <target port="0"/>
            </serial>
            <memballoon model="none"/>
          </devices>
        </domain>
        """
    }
}
