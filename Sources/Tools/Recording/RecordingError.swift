import Linux

/// Why a recording can't be read.
public enum RecordingError: Error, Equatable, CustomStringConvertible {
    /// It doesn't begin as a pcapng file does.
    case noRecording
    /// Something at this offset in bytes, which begins a block, can't be.
    case damaged(at: Int, String)
    case system(Errno)

    /// What goes behind "The recording can't be read: ".
    public var description: String {
        switch self {
        case .noRecording: "it is no pcapng file, or a compressed one."
        case .damaged(let place, let what): "at byte \(place), \(what.hasSuffix(".") ? what : what + ".")"
        case .system(let error): "\(error)."
        }
    }
}
