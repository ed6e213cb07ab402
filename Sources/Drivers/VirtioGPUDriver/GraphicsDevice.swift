import Linux

/// A device that draws, as its driver sees it: asked for what takes long, which it answers later.
public protocol GraphicsDevice: AnyObject {
    /// What the device's renderer can do.
    var capabilitySets: [CapabilitySet] { get }

    /// Whether so many commands, with streams of so many bytes together, can be sent now. Each stream counts as whole
    /// blocks of ``GPUCommand/streamBlock``.
    func hasRoom(for count: Int, stream: Int) -> Bool

    /// Has the device carry out a command behind those before.
    ///
    /// - Parameter token: by which the answer is known.
    /// - Throws: ``DriverError/queueFull`` when there is no room for it.
    func send(_ command: GPUCommand, token: UInt64) throws(DriverError)

    /// Memory for the device, all zeros.
    ///
    /// - Parameter size: in bytes, at least 1; it gets whole pages.
    func share(_ size: Int) throws(DriverError) -> SharedMemory

    /// Takes memory away from the device, which nothing refers to any more there, and waits until its renderer has let
    /// go of it. What was sent before and has no answer might take long first.
    func unshare(_ memory: SharedMemory) throws(DriverError)
}

/// What a renderer can do, for a driver of OpenGL. VIRTIO_GPU_CMD_GET_CAPSET
public struct CapabilitySet: Equatable, Sendable {
    public var id: UInt32
    /// The newest there is.
    public var version: UInt32
    public var contents: [UInt8]

    public init(id: UInt32, version: UInt32, contents: [UInt8]) {
        self.id = id
        self.version = version
        self.contents = contents
    }
}
