import Glibc
import Linux

/// The other role of mediated-device: it brings a saved state to the disk for the daemon, and ends.
///
/// The daemon puts it into the control group of the vGPU before it lets it begin: what it reads and writes, the page
/// cache, and the disk's work are charged to that group.
public enum CheckpointWriter {
    /// The first word of the command line. The state's size in bytes follows.
    public static let role = "--write-checkpoint"

    /// The command line of a writer, without the program's name.
    ///
    /// - Parameter size: of the state, in bytes.
    public static func words(size: Int) -> [String] { [role, "\(size)"] }

    /// The descriptors that it is given, in this order.
    private enum Inherited: Int32 {
        /// The read end of a pipe: a byte says that it may begin.
        case start = 3
        case state
        /// A new file, empty.
        case file
        /// What was saved before.
        case before
    }

    /// The exit status when the new file has the state, and when what was saved before is the same, so that nothing was
    /// written. Any other is the number of an error.
    public static let written: Int32 = 0
    public static let unchanged: Int32 = 255

    /// Does its work where the command line is its own.
    ///
    /// - Returns: the exit status; nil when the process has another role.
    public static func run(_ words: [String]) -> Int32? {
        guard words.count == 3, words[1] == role else { return nil }
        guard let size = Int(words[2]), (0...ControlClient.stateLimit).contains(size) else { return EINVAL }
        let start = Descriptor(owning: Inherited.start.rawValue)
        let state = AttachedFile(descriptor: Descriptor(owning: Inherited.state.rawValue), size: size)
        let file = Descriptor(owning: Inherited.file.rawValue)
        let before = Descriptor(owning: Inherited.before.rawValue)
        do {
            // The daemon has ended, or has given up.
            guard try start.readBytes(upTo: 1).count == 1 else { return ECANCELED }
            try Sandbox.confineCopying(upTo: size)
            if try state.equals(before) { return unchanged }
            try state.copy(to: file)
            try file.synchronize()
            return written
        } catch let error as Errno {
            return error.rawValue
        } catch let failure as Sandbox.Failure {
            return failure.error.rawValue
        } catch {
            return EIO
        }
    }
}
