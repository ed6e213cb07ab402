import Control
import Linux

/// Why the process can't do what it is for, and the status it ends with.
struct Failure: Error {
    let status: Int32
    let description: String

    /// `sysexits.h`
    enum Exit {
        static let usage: Int32 = 64
        static let badState: Int32 = 65
        static let noInput: Int32 = 66
        static let software: Int32 = 70
        static let system: Int32 = 71
        static let cannotCreate: Int32 = 73
        static let noPermission: Int32 = 77
    }

    init(_ status: Int32, _ description: String) {
        self.status = status
        self.description = description
    }

    /// A descriptor that was inherited is not what its option says.
    init(_ option: DeviceArguments.Option, _ descriptor: Int32, unusable error: Errno) {
        self.init(Exit.usage, "\(option.rawValue) is \(descriptor), which can't be used: \(error).")
    }
}
