import Control
import Glibc
import Linux

/// Writes what a device shows to standard output, as ppm(5) describes it, but with differences in the place of bytes:
/// each is what has to be added, modulo 256, to the same colour of the pixel before it in the row. They pack well, and
/// a slow serial line brings them to the tests.
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
        for index in row.indices.dropFirst(3).reversed() { row[index] &-= row[index - 3] }
        try output.writeAll(row.span.bytes)
    }
}
