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
    /// A command was sent for which there was no room.
    case queueFull

    public var description: String {
        switch self {
        case .client(let error): error.description
        case .system(let error): "A system call failed: \(error)."
        case .device(let sentence): sentence
        case .queueFull: "A command finds no room in the queue."
        }
    }
}
