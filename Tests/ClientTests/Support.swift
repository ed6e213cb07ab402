import FakeGuest
import Glibc
import Linux
import Testing
import VFIOUser

extension ServedDevice {
    /// A typed client of the device.
    func client(configure: (inout Client.Configuration) -> Void = { _ in }) throws -> Client {
        var configuration = Client.Configuration()
        configuration.patience = 10_000
        configure(&configuration)
        return try Client(path: path, configuration: configuration)
    }
}
