import Device

extension BochsDisplay {
    /// All registers; as made, those of a display that was just switched on.
    public struct State: Codable, Equatable, Sendable {
        var dispi = DISPI()
        var vga = VGA()
        var dac = DAC()
        /// The pixels' byte order.
        var bigEndian = false

        /// - Parameter videoMemory: in bytes.
        func validate(videoMemory: Int) throws(StateError) {
            guard DISPI.versions.contains(dispi.id) else {
                throw StateError("DISPI version \(dispi.id) is none of \(DISPI.versions).")
            }
            guard dispi.enable.isSubset(of: .all) else {
                throw StateError("The enable register is \(dispi.enable.rawValue), with bits that it doesn't have.")
            }
            if dispi.enable.contains(.enabled) {
                var fitted = dispi
                fitted.fit(videoMemory)
                guard fitted == dispi else {
                    throw StateError(
                        "Mode \(dispi.width)x\(dispi.height) with \(dispi.bitsPerPixel) bits per pixel, virtual width "
                            + "\(dispi.virtualWidth), offset \(dispi.xOffset),\(dispi.yOffset) doesn't fit "
                            + "into \(videoMemory) bytes of video memory.")
                }
            }
            guard dac.components.count == 768, dac.latch.count == 2, dac.component < 3 else {
                throw StateError(
                    "The palette has \(dac.components.count) components of 768, \(dac.latch.count) latched of 2, "
                        + "and goes on with \(dac.component) of 0 to 2.")
            }
        }
    }
}
