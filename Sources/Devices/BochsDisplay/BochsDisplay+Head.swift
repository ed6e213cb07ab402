import Device

extension BochsDisplay: DisplayDevice {
    public var heads: [any DisplayHead] { [self] }
}

extension BochsDisplay: DisplayHead {
    public var scanout: Scanout? {
        let mode = state.dispi
        guard mode.enable.contains(.enabled), !state.vga.isBlank else { return nil }
        let format = format
        return Scanout(
            width: Int(mode.width), height: Int(mode.height), stride: mode.stride, format: format,
            memory: videoMemory, offset: mode.offset,
            palette: format == .indexed8 ? state.dac.palette(bits: mode.enable.contains(.dac8Bit) ? 8 : 6) : [])
    }

    private var format: PixelFormat {
        switch (state.dispi.bitsPerPixel, state.bigEndian) {
        case (32, false): .xrgb8888
        case (32, true): .bgrx8888
        case (24, false): .rgb888
        case (24, true): .bgr888
        case (16, false): .rgb565
        case (16, true): .rgb565BigEndian
        case (15, false): .xrgb1555
        case (15, true): .xrgb1555BigEndian
        default: .indexed8
        }
    }
}
