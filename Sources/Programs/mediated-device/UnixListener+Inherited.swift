import Control
import Linux

extension UnixListener {
    /// A socket at `path`: the one that was inherited, or else a new one.
    static func make(
        at path: String, mode: UInt32, or inherited: Int32?, _ option: DeviceArguments.Option
    ) throws(Failure) -> UnixListener {
        do throws(Errno) {
            if let inherited { return try UnixListener(adopting: Descriptor(owning: inherited), path: path) }
            return try UnixListener(path: path, mode: mode)
        } catch {
            if let inherited { throw Failure(option, inherited, unusable: error) }
            throw Failure(Failure.Exit.cannotCreate, explanation(of: error, at: path))
        }
    }
}
