import Foundation
import Programs

extension Lab {
    /// Whether a renderer can have Venus here: a virglrenderer, a Vulkan driver and a stand-in for `/dev/udmabuf` that
    /// the host needn't have.
    public static var hasVenus: Bool { has("VENUS_RUN") }

    /// Makes a program that runs mediated-renderer of this build with all of that.
    ///
    /// - Parameters:
    ///   - folder: where it is made, by mediated-renderer's name.
    ///   - environment: variables that it sets first, as a shell reads them.
    /// - Returns: its path.
    public static func venusRenderer(in folder: Scratch, environment: [String: String] = [:]) throws -> String {
        let program = folder.path("mediated-renderer")
        let renderer = try Program.folder.appendingPathComponent("mediated-renderer").path
        let variables = environment.map { "export \($0.key)=\($0.value)\n" }.sorted().joined()
        try "#!/bin/sh\n\(variables)exec '\(value("VENUS_RUN"))' '\(renderer)' \"$@\"\n".write(
            toFile: program, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
        return program
    }
}
