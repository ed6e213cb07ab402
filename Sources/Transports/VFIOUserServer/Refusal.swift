import Device
import GuestMemory
import Linux
import VFIO

/// An error that has an errno for the wire.
protocol Refusal: Error {
    var errno: Errno { get }
}

extension AccessError: Refusal {}
extension MapError: Refusal {}
extension DMAError: Refusal {}
extension DirtyLogError: Refusal {}

extension Errno: Refusal {
    var errno: Errno { self }
}

extension MalformedMessage: Refusal {
    var errno: Errno { .invalidArgument }
}

extension StateError: Refusal {
    var errno: Errno { .invalidArgument }
}
