/// How many bytes the texels of a format take at most: in blocks, each of some texels by some.
struct TexelLayout: Equatable {
    /// The edge of a block, in texels.
    let edge: Int
    /// What a block takes, in bytes.
    let blockSize: Int

    /// Each texel takes so many bytes.
    private static func texel(_ bytes: Int) -> TexelLayout { TexelLayout(edge: 1, blockSize: bytes) }
    /// Blocks of 4 by 4 texels take so many bytes.
    private static func block(_ bytes: Int) -> TexelLayout { TexelLayout(edge: 4, blockSize: bytes) }

    /// That of a buffer, which has no format.
    static let bytes = texel(1)

    /// By number of `enum virgl_formats` (virglrenderer's virgl_hw.h). A format that is none of these counts as one of
    /// the large.
    private static let formats: [(numbers: ClosedRange<UInt32>, layout: TexelLayout)] = [
        (1...23, texel(4)),
        // 64-bit, 32-bit and 16-bit channels, of which there are one to four.
        (24...27, texel(32)), (28...47, texel(16)), (48...63, texel(8)), (64...85, texel(4)), (87...90, texel(16)),
        (91...94, texel(8)), (95...104, texel(4)),
        // S3TC, plain and sRGB; RGTC
        (105...106, block(8)), (107...108, block(16)), (109...110, block(8)), (111...112, block(16)),
        (113...114, block(8)), (115...116, block(16)),
        (117...125, texel(4)), (126...126, texel(8)), (127...137, texel(4)), (138...138, texel(8)),
        (139...142, texel(4)),
        // LATC
        (143...144, block(8)), (145...146, block(16)),
        (147...158, texel(4)), (159...162, texel(8)), (163...184, texel(4)), (185...192, texel(8)),
        (193...200, texel(16)), (201...216, texel(4)), (217...224, texel(8)), (225...225, texel(4)),
        // ETC1 and, further on, ETC2 and ASTC, which a driver may have to keep unpacked.
        (226...226, texel(4)),
        (227...233, texel(4)), (234...238, texel(8)), (239...241, texel(16)), (242...245, texel(4)),
        (246...246, texel(8)), (247...250, texel(4)), (251...252, texel(8)), (253...254, texel(4)),
        // BPTC
        (255...258, block(16)),
        (259...308, texel(4)), (311...312, texel(4)),
    ]

    init(edge: Int, blockSize: Int) {
        self.edge = edge
        self.blockSize = blockSize
    }

    init(virgl number: UInt32) {
        self = Self.formats.first { $0.numbers.contains(number) }?.layout ?? .texel(16)
    }

    /// What a picture takes, in bytes.
    ///
    /// - Parameters:
    ///   - width: in texels, at least 1, as is the height; both at most 2^30.
    func size(width: Int, height: Int) -> Int {
        ((width + edge - 1) / edge) * ((height + edge - 1) / edge) * blockSize
    }
}
