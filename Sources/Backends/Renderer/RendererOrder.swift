/// What mediated-renderer is started with: `KINDS [NODE] [--window BYTES]`.
public struct RendererOrder: Equatable, Sendable {
    public let kinds: RendererKinds
    /// Such as /dev/dri/renderD128; nil: drivers that need no device.
    public let renderNode: String?
    /// How many bytes of memory it is to import parts of at most.
    public let window: UInt64

    private static let windowOption = "--window"

    public init(kinds: RendererKinds, renderNode: String?, window: UInt64) {
        self.kinds = kinds
        self.renderNode = renderNode
        self.window = window
    }

    var arguments: [String] {
        [kinds.description] + (renderNode.map { [$0] } ?? [])
            + (window > 0 ? [Self.windowOption, String(window)] : [])
    }

    /// - Parameter arguments: the program's, without its name; nil is returned where they make no sense.
    public init?(_ arguments: some Collection<String>) {
        var rest = Array(arguments.reversed())
        guard let kinds = rest.popLast().flatMap(RendererKinds.init) else { return nil }
        self.kinds = kinds
        renderNode = rest.last == Self.windowOption ? nil : rest.popLast()
        guard let option = rest.popLast() else {
            window = 0
            return
        }
        guard option == Self.windowOption, let window = rest.popLast().flatMap({ UInt64($0) }), rest.isEmpty else {
            return nil
        }
        self.window = window
    }
}
