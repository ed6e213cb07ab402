import FakeGuest
import Glibc
import Linux
import Testing
import VFIOUserClient

extension ServedDevice {
    /// A typed client of the device, which has made it a bus master as a driver does.
    func client(configure: (inout Client.Configuration) -> Void = { _ in }) throws -> Client {
        var configuration = Client.Configuration()
        configuration.patience = .seconds(10)
        configure(&configuration)
        let client = try Client(path: path, configuration: configuration)
        try client.setBusMaster(true)
        return client
    }
}

/// How a client's region accesses get to the server.
enum Way: CaseIterable {
    case messages, accessRing
}

extension ServedDevice {
    /// A typed client whose accesses go one way.
    func client(by way: Way) throws -> Client {
        let client = try client { if way == .messages { $0.capabilities.accessRing = nil } }
        #expect((client.server.accessRing != nil) == (way == .accessRing))
        return client
    }
}
