import Foundation
import Programs

extension XenMachine {
    /// Boots it with Xen's own tools in domain 0, and a kernel and an initial file system for domains of theirs.
    ///
    /// - Parameter programs: of this build.
    public static func withTools(_ release: Release, programs: [String]) throws -> XenMachine {
        var files = GuestFiles()
        try files.add(folder: Lab.value(release.toolsKey), at: tools)
        for (name, key) in [("vmlinux", "KERNEL_"), ("bzImage", "BZIMAGE_"), ("initrd", "INITRD_")] {
            try files.add(file: Lab.value(release.kernelKey(key)), at: "\(tools)/domain/\(name)")
        }
        let machine = try XenMachine(release, with: programs, memory: 4096, files: files)
        // Programs that know their places run in a root folder of their own.
        try machine.command("cd \(tools) && ln -s usr/lib64 lib64 && ln -s usr/lib lib")
        try machine.command(
            "mkdir -p dev proc sys run tmp etc/xen var/lib/xen var/lib/xenstored var/log/xen", in: tools)
        try machine.command("for name in dev proc sys run tmp; do mount --rbind /$name $name; done", in: tools)
        try machine.command("ln -s /run var/run && mkdir -p /run/xen /run/lock /run/xenstored", in: tools)
        try machine.command("mount -t xenfs xenfs proc/xen && touch etc/xen/xl.conf", in: tools)
        try machine.tool("xenstored", "--pid-file /run/xenstored.pid")
        try machine.tool("xen-init-dom0")
        try machine.tool("xenconsoled", "--pid-file /run/xenconsoled.pid")
        return machine
    }

    /// Where the root folder of Xen's tools is.
    private static let tools = "/xen"

    private func command(_ text: String, in folder: String) throws {
        try command("cd \(folder) && \(text)")
    }

    /// Runs one of Xen's own programs, which has to succeed.
    @discardableResult
    public func tool(_ name: String, _ arguments: String = "") throws -> String {
        try command("chroot \(Self.tools) /usr/lib/xen-\(release.xen)/bin/\(name) \(arguments)")
    }

    /// Makes a domain by xl. It is paused.
    ///
    /// - Parameter configuration: the lines of its xl.cfg(5), but for its name.
    /// - Returns: its number.
    public func create(_ name: String, processors: Int = 1, _ configuration: [String]) throws -> Int {
        let lines = (configuration + ["name=\"\(name)\"", "vcpus=\(processors)"]).map { "'\($0)'" }.joined(
            separator: " ")
        try command("printf '%s\\n' \(lines) >\(Self.tools)/etc/xen/\(name).cfg")
        try tool("xl", "create -p /etc/xen/\(name).cfg")
        guard let number = Int(try tool("xl", "domid \(name)")) else { throw GuestError("xl has made no domain.") }
        return number
    }

    /// Has a mediated-device serve a domain's slot, confined. It ends with the domain.
    ///
    /// - Returns: where its control socket is.
    public func serve(_ type: String, slot: String, of domain: Int, options: [String] = []) throws -> String {
        let socket = "/run/\(type)-\(domain)"
        let words =
            [try Self.path("mediated-device"), type, "--xen", "\(domain)", "--slot", slot, "--control", socket]
            + ["--sandbox"] + options.flatMap { ["--option", $0] }
        try begin(words.joined(separator: " "), until: "Serving")
        return socket
    }

    /// What a device's control socket in domain 0 gives as its picture, 3 bytes for each pixel. XenProbe fetches it.
    public func picture(of socket: String) throws -> (width: Int, height: Int, rows: [[UInt8]]) {
        let text = try command(
            "\(Self.path("XenProbe")) picture \(socket) >/tmp/picture && gzip -c /tmp/picture | base64 | tr -d '\\n'")
        let folder = try Scratch()
        try Data(base64Encoded: text)?.write(to: URL(fileURLWithPath: folder.path("picture.gz")))
        let unpacked = try Program.run(
            URL(fileURLWithPath: "/usr/bin/gunzip"), [folder.path("picture.gz")])
        guard unpacked.status == 0 else { throw GuestError("A picture came as '\(text.prefix(200))'.") }
        return try Self.pixels(Data(contentsOf: URL(fileURLWithPath: folder.path("picture"))))
    }

    /// Takes apart what ppm(5) describes, in its binary form, with differences in the place of bytes.
    private static func pixels(_ file: Data) throws -> (width: Int, height: Int, rows: [[UInt8]]) {
        let fields = file.split(separator: UInt8(ascii: "\n"), maxSplits: 3, omittingEmptySubsequences: false)
        let size = fields.dropFirst().first.map { String(decoding: $0, as: UTF8.self).split(separator: " ") } ?? []
        guard fields.count == 4, size.count == 2, let width = Int(size[0]), let height = Int(size[1]),
            fields[3].count == 3 * width * height
        else { throw GuestError("A picture of \(file.count) bytes isn't whole.") }
        let bytes = [UInt8](fields[3])
        let rows = (0..<height).map { y in
            var row = Array(bytes[3 * width * y..<3 * width * (y + 1)])
            for index in row.indices.dropFirst(3) { row[index] &+= row[index - 3] }
            return row
        }
        return (width, height, rows)
    }

    /// Waits until Xen's store has a path.
    ///
    /// - Returns: what it has there.
    public func stored(_ path: String) throws -> String {
        let tool = "chroot \(Self.tools) /usr/bin/xenstore-"
        // A watch tells at once of what is there, and of each change after that.
        return try command(
            "rm -f /run/watch; mkfifo /run/watch; \(tool)watch \(path) >/run/watch & watch=$!; "
                + "while read -r change; do value=$(\(tool)read \(path) 2>/dev/null) && break; done </run/watch; "
                + "kill $watch; echo $value")
    }

    /// Has `xl` found where programs of domain 0 look for it.
    public func addXL() throws {
        try command(
            "printf '#!/bin/sh\\nexec chroot \(Self.tools) /usr/lib/xen-\(release.xen)/bin/xl \"$@\"\\n' >/bin/xl; chmod +x /bin/xl"
        )
    }

    /// Begins a program in domain 0 that goes on.
    ///
    /// - Parameter mark: what it says when it has begun.
    @discardableResult
    public func begin(_ command: String, until mark: String) throws -> String {
        // What it says later has to be read as well.
        let listener =
            "while IFS= read -r line && echo \"$line\"; do case $line in *\"\(mark)\"*) break ;; esac; done; "
            + "cat >/dev/null &"
        let said = try self.command("{ \(command) 2>&1 & } | { \(listener) }")
        guard said.contains(mark) else { throw GuestError("'\(command)' has said '\(said)'.") }
        return said
    }
}
