/// What a guest's programs can draw and compute with.
public struct RendererKinds: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// OpenGL, by Mesa's virgl.
    public static let virgl = RendererKinds(rawValue: 1)
    /// Vulkan, by Mesa's Venus.
    public static let venus = RendererKinds(rawValue: 2)

    /// How many contexts of Vulkan a guest may have at once. Each is a process of the host's: with lavapipe it has
    /// 37 MB before it does anything.
    public static let mostVenusContexts = 32

    /// Each that a renderer can have.
    private static let all: [RendererKinds] = [.virgl, .venus, [.virgl, .venus]]
    /// The words for them, for messages and help.
    public static var words: [String] { all.map(\.description) }

    /// - Parameter word: such as `virgl+venus`: one of ``words``, else nil is returned.
    public init?(_ word: String) {
        guard let kinds = Self.all.first(where: { $0.description == word }) else { return nil }
        self = kinds
    }
}

extension RendererKinds: CustomStringConvertible {
    public var description: String {
        [(Self.virgl, "virgl"), (.venus, "venus")].filter { contains($0.0) }.map(\.1).joined(separator: "+")
    }
}
