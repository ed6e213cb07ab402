import Linux
import VFIOUserClient

/// Why a driver can't drive its device.
public enum DriverError: Error, CustomStringConvertible {
    /// The connection to the device's process.
    case client(ClientError)
    /// A system call of the driver's own.
    case system(Errno)
    /// What is at the other end is no virtio-gpu, or has said what no device says: a sentence.
    case device(String)

    public var description: String {
        switch self {
        case .client(let error): error.description
        case .system(let error): "A system call failed: \(error)."
        case .device(let sentence): sentence
        }
    }
}
