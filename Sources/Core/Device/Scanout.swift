import Linux

/// A picture in memory: where its pixels are and how they are written down.
public struct Scanout: Sendable {
    /// In pixels.
    public var width: Int
    public var height: Int
    /// Bytes from one line to the next.
    public var stride: Int
    public var format: PixelFormat
    /// The memory that holds the pixels. The guest may change it while it is read.
    public var memory: MappedBytes
    /// Where the first pixel is in ``memory``. `offset + height * stride` lies inside it.
    public var offset: Int
    /// For ``PixelFormat/indexed8``: 256 colours as 0xRRGGBB. Empty for any other format.
    public var palette: [UInt32]

    public init(
        width: Int, height: Int, stride: Int, format: PixelFormat, memory: MappedBytes, offset: Int,
        palette: [UInt32] = []
    ) {
        self.width = width
        self.height = height
        self.stride = stride
        self.format = format
        self.memory = memory
        self.offset = offset
        self.palette = palette
    }
}

/// A part of a picture, in pixels from its upper left corner.
public struct Rectangle: Codable, Equatable, Sendable {
    public var x: Int
    public var y: Int
    public var width: Int
    public var height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}
