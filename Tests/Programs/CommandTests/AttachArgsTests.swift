import Foundation
import JSON
import Programs
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

@Suite struct AttachArgsTests {
    /// Names that quoting gets wrong.
    static let sockets = ["/run/vgpu0.sock", "/tmp/a b'c\"d", "/tmp/$(x)`y`\\z", "/tmp/<&>\"';é", "/tmp/100%,id=x"]

    @Test(arguments: sockets) func aShellReadsTheArgumentsBack(socket: String) throws {
        let outcome = try Command.run("attach-args", socket, "--memory", "512M")
        #expect(outcome.status == 0)
        let shell = try Command.run(
            "-c", "for word in \(outcome.output)\ndo printf '%s\\n' \"$word\"; done",
            at: URL(fileURLWithPath: "/bin/sh"))
        let words = shell.output.split(separator: "\n").map(String.init)
        #expect(words.count == 8)
        #expect(
            words.prefix(7) == [
                "-m", "512M", "-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-machine",
                "memory-backend=mem",
                "-device",
            ])
        let expected: JSON = ["driver": "vfio-user-pci", "socket": ["type": "unix", "path": .string(socket)]]
        #expect(try JSON(parsing: words[7]) == expected)
    }

    @Test(arguments: sockets) func anXMLParserReadsTheElementsBack(socket: String) throws {
        let outcome = try Command.run("attach-args", socket, "--libvirt", "--memory", "2G")
        #expect(outcome.status == 0)
        let collector = Collector()
        let parser = XMLParser(data: Data(outcome.output.utf8))
        parser.delegate = collector
        #expect(parser.parse())
        #expect(collector.arguments.first == "-device")
        let expected: JSON = ["driver": "vfio-user-pci", "socket": ["type": "unix", "path": .string(socket)]]
        #expect(try JSON(parsing: collector.arguments.last ?? "") == expected)
        #expect(outcome.output.contains("<memory unit=\"KiB\">2097152</memory>"))
        #expect(outcome.output.contains("<access mode=\"shared\"/>"))
    }

    @Test func aRelativePathIsMadeAbsolute() throws {
        let scratch = try Scratch()
        let outcome = try Command.run("attach-args", "vgpu", in: scratch.url)
        #expect(outcome.output.contains("\"path\":\"\(scratch.path("vgpu"))\""))
        #expect(outcome.output.contains("size=1G"))
    }

    @Test(arguments: [
        ["/x", "--memory", "0"], ["/x", "--memory", "1K"], ["/x", "--memory", "-1G"], ["/x", "--memory", "1500K"],
        ["/x", "--memory", "1X"], ["/x", "--memory", ""], ["/x", "--memory", "99999999999T"], [""],
        ["/x", "--qemu", "--libvirt"], ["/" + String(repeating: "x", count: 107)],
    ])
    func whatMakesNoSenseIsAUsageError(arguments: [String]) throws {
        let outcome = try Command.run(["attach-args"] + arguments)
        #expect(outcome.status == 64)
        #expect(!outcome.errors.isEmpty)
        #expect(outcome.output.isEmpty)
    }

    private final class Collector: NSObject, XMLParserDelegate {
        var arguments: [String] = []

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) {
            if name == "qemu:arg", let value = attributes["value"] { arguments.append(value) }
        }
    }
}
