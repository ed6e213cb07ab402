import Glibc
import Linux
import VFIOUserClient
import VirtioGPUDriver

/// What whoever has started this process is told: a status as in sysexits.h and, unless it is 0, a sentence.
struct StartFailure: Error {
    let status: Int32
    let sentence: String

    static let none = StartFailure(status: 0, "")

    init(status: Int32, _ sentence: String) {
        self.status = status
        self.sentence = sentence
    }

    /// - Parameter path: of the vGPU's socket.
    init(_ error: DriverError, _ path: String) {
        switch error {
        case .client(.refused(_, .resourceBusy)), .client(.timedOut(.version)):
            self.init(
                status: 69,
                "The vGPU at '\(path)' is in use by another client, such as a virtual machine: stop that first.")
        case .client(.system(.noSuchFileOrDirectory)), .client(.system(.notDirectory)):
            self.init(status: 66, "There is no socket at '\(path)'.")
        case .client(.system(.permissionDenied)):
            self.init(status: 77, "You may not connect to '\(path)': its permissions don't allow it.")
        case .client(.system(.connectionRefused)): self.init(status: 69, "Nobody listens at '\(path)'.")
        case .client(.malformed), .client(.version):
            self.init(status: 76, "What listens at '\(path)' is no vfio-user server of version 0.0. \(error)")
        default: self.init(status: 69, "Programs can't use '\(path)'. \(error)")
        }
    }

    /// Writes it, and closes the descriptor.
    func tell(_ descriptor: Int32) {
        let bytes = Array("\(status) \(sentence)".utf8)
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
    }
}
