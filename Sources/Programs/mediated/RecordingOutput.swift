import Linux
import Recording

/// Makes the file of a recording.
func openRecording(_ path: String, replaces: Bool) throws(Failure) -> RecordingWriter {
    do throws(Errno) { return try RecordingWriter(path: path, replaces: replaces) } catch {
        guard error != .fileExists || replaces else {
            throw Failure(.cannotCreate, "'\(path)' is there already: choose another name, or say --replace.")
        }
        throw Failure(error, cannot: "write the recording to", path, otherwise: .cannotCreate)
    }
}
