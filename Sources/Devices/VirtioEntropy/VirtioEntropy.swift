import Device
import Linux
import Virtio

/// The entropy device: it fills the driver's buffers with the host's random numbers. VIRTIO 1.2, section 5.4.
public final class VirtioEntropy: VirtioDevice {
    public static let type = DeviceType(
        name: "virtio-rng", summary: "Random numbers of the host for the guest (virtio entropy device)")
    public static let id = VirtioID.entropy

    /// One queue, `requestq`.
    public let queueSizes = [256]

    /// The most bytes of a buffer that are filled; the rest is the driver's to ask for again.
    static let longestAnswer = 4096

    private let port: VirtioPort

    public init(options: DeviceOptions, port: VirtioPort) {
        self.port = port
    }

    public func process(_ queue: Int) {
        while let chain = port.pop(queue) {
            var bytes = [UInt8](repeating: 0, count: min(chain.writable, Self.longestAnswer))
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            do throws(Errno) { try port.host.fillWithRandomNumbers(&raw) } catch { return port.fail() }
            chain.write(bytes)
            port.addUsed(chain)
        }
    }

    // MARK: State

    public func reset() {}

    /// There is nothing to keep.
    public struct State: Codable, Sendable {}

    public let state = State()

    public func restore(_ state: State) {}
}
