/// What backs vGPUs, as a physical GPU backs mediated devices: it has so much video memory to share out.
public struct Parent: Equatable, Codable, Sendable {
    public var name: String
    /// One line.
    public var description: String
    /// What all its vGPUs may have together, in bytes.
    public var videoMemory: Int

    public init(name: String, description: String, videoMemory: Int) {
        self.name = name
        self.description = description
        self.videoMemory = videoMemory
    }
}
