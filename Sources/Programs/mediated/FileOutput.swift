import Linux

/// Writes a file, which appears complete or not at all.
///
/// - Parameter what: it holds, as in "Can't write the picture to …".
func writeFile(_ bytes: [UInt8], to path: String, as what: String) throws(Failure) {
    do throws(Errno) {
        let file = try FileReplacement(path: path)
        try file.descriptor.writeAll(bytes.span.bytes)
        try file.commit()
    } catch {
        throw Failure(error, cannot: "write \(what) to", path, otherwise: .cannotCreate)
    }
}
