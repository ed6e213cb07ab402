import Linux

/// The parents that a host has by itself.
extension Parent {
    /// The processor, without and with 3D, and each graphics device that can draw for others.
    ///
    /// - Parameters:
    ///   - videoMemory: what each has to share out unless its driver says it, in bytes.
    ///   - hasRenderer: whether 3D can be drawn here at all.
    ///   - devices: where device files are; `/dev`.
    ///   - system: where the kernel describes them; `/sys`.
    public static func discover(
        videoMemory: Int, hasRenderer: Bool, devices: String = "/dev", system: String = "/sys"
    ) -> [Parent] {
        var parents = [
            Parent(name: "cpu", description: "The host's processor and memory.", videoMemory: videoMemory)
        ]
        guard hasRenderer else { return parents }
        parents.append(
            Parent(
                name: "software", description: "OpenGL, drawn by the host's processor.", videoMemory: videoMemory,
                renderer: .software))
        for name in names(inFolder: "\(devices)/dri") where name.hasPrefix("renderD") {
            let device = "\(system)/class/drm/\(name)/device"
            let driver = word(behind: "DRIVER=", in: "\(device)/uevent")
            let address = word(behind: "PCI_SLOT_NAME=", in: "\(device)/uevent")
            let what = [driver, address].compactMap(\.self).joined(separator: " at ")
            parents.append(
                Parent(
                    name: name, description: "OpenGL, drawn by \(what.isEmpty ? "a graphics device" : what).",
                    // amdgpu's name; drivers have none in common.
                    videoMemory: word(behind: "", in: "\(device)/mem_info_vram_total").flatMap { Int($0) }
                        ?? videoMemory,
                    renderer: .node("\(devices)/dri/\(name)")))
        }
        return parents
    }

    /// The rest of the first line that begins so.
    private static func word(behind prefix: String, in path: String) -> String? {
        guard let file = try? Descriptor(reading: path), let bytes = try? file.readBytes(upTo: 4096) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }
}
