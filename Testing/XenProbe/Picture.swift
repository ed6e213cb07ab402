import Control
import Glibc
import Linux

/// Writes what a device shows to standard output, as ppm(5) describes it.
///
/// - Parameter socket: the path of the device's control socket.
func writePicture(of socket: String) throws {
    let scanout = try ControlClient(connectingTo: socket).screenshot()
    let output = Descriptor(owning: STDOUT_FILENO)
    try output.writeAll(Array("P6\n\(scanout.width) \(scanout.height)\n255\n".utf8).span.bytes)
    for y in 0..<scanout.height {
        var row = [UInt8](repeating: 0, count: scanout.width * 3)
        var span = row.mutableSpan
        scanout.rgbRow(y, into: &span)
        try output.writeAll(row.span.bytes)
    }
}
