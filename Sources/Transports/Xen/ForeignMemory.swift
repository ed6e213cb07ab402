import CXen
import GuestMemory
import Linux

/// Frames of a guest's memory that are mapped here side by side.
public struct ForeignWindow: Sendable {
    /// Something for each frame.
    typealias Each<Value> = InlineArray<64, Value>
    /// How many frames a window has: no more than ``present`` has bits.
    public static let frames = Each<Bool>.count

    let mapping: Mapping
    /// One bit for each frame, the first one lowest: whether the guest had memory there when it was mapped. The others
    /// can't be touched.
    let present: UInt64

    public init(mapping: Mapping, present: UInt64) {
        self.mapping = mapping
        self.present = present
    }
}

/// The memory of a guest under Xen: mapped in windows when it is used, and kept while there is room.
///
/// A frame that is mapped here stays what it is, even when the guest gives it back meanwhile: Xen frees it when nobody
/// has it mapped. So no access can fault; but what has taken the frame's place isn't seen until ``drop()``, which Xen
/// asks for when a guest gives memory back (IOREQ_TYPE_INVALIDATE). Where there is nothing, an access fails with
/// `DMAError.fault`, and looks again the next time.
public final class ForeignMemory: RemoteMemory {
    /// The most windows that are kept: 64 MiB.
    static let maximumWindows = 256
    private static let windowSize = UInt64(ForeignWindow.frames * Domain.frameSize)

    private let map: (_ firstFrame: UInt64) throws(XenError) -> ForeignWindow
    private let tell: (Span<cxen_extent>) -> Void
    // Whoever is told of them doesn't write: checks at run time would find nothing.
    @exclusivity(unchecked) private var written = WrittenFrames()
    /// By the number that ``windowSize`` gives their addresses.
    private var windows: [UInt64: ForeignWindow] = [:]
    /// Their numbers, the oldest first from ``oldest`` on, in a circle.
    private var order: [UInt64] = []
    private var oldest = 0

    /// - Parameters:
    ///   - map: maps the frames from one on, a multiple of ``ForeignWindow/frames``.
    ///   - tell: is told which frames were written, by ``tellWritten()``.
    public init(
        map: @escaping (_ firstFrame: UInt64) throws(XenError) -> ForeignWindow,
        tell: @escaping (Span<cxen_extent>) -> Void = { _ in }
    ) {
        self.map = map
        self.tell = tell
        // Nothing is touched that Xen hasn't mapped; were it wrong about that, it is an error all the same.
        GuardedCopy.install()
    }

    public convenience init(of domain: Domain) {
        self.init(
            map: { (first) throws(XenError) in try domain.map(framesFrom: first) },
            tell: { domain.tellWritten($0) })
    }

    /// Forgets all windows.
    public func drop() {
        windows.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        oldest = 0
    }

    public func read(_ address: UInt64, into target: inout MutableRawSpan) throws(DMAError) {
        var done = 0
        while done < target.byteCount {
            let (there, count) = try piece(at: address + UInt64(done), upTo: target.byteCount - done)
            try target.withUnsafeMutableBytes { target throws(DMAError) in
                // SAFETY: `count` bytes from `done` on are the span's, those from `there` on one frame's.
                try Self.copy(to: target.baseAddress! + done, from: there, count, address + UInt64(done))
            }
            done += count
        }
    }

    public func write(_ address: UInt64, from bytes: RawSpan) throws(DMAError) {
        var done = 0
        while done < bytes.byteCount {
            let (there, count) = try piece(at: address + UInt64(done), upTo: bytes.byteCount - done)
            try bytes.withUnsafeBytes { bytes throws(DMAError) in
                // SAFETY: as above.
                try Self.copy(to: there, from: bytes.baseAddress! + done, count, address + UInt64(done))
            }
            let frame = (address + UInt64(done)) / UInt64(Domain.frameSize)
            if !written.note(frame) {
                tellWritten()
                _ = written.note(frame)
            }
            done += count
        }
    }

    /// Tells which frames were written since the last time, if any were.
    public func tellWritten() { written.take(tell) }

    private static func copy(
        to: UnsafeMutableRawPointer, from: UnsafeRawPointer, _ count: Int, _ address: UInt64
    ) throws(DMAError) {
        do throws(Errno) { try GuardedCopy.copy(to: to, from: from, count: count) } catch {
            throw .fault(address: address)
        }
    }

    /// Where the bytes from an address on are, as many as lie in one frame.
    private func piece(
        at address: UInt64, upTo count: Int
    ) throws(DMAError) -> (bytes: UnsafeMutableRawPointer, count: Int) {
        let inFrame = Int(address % UInt64(Domain.frameSize))
        let window = try window(at: address)
        // SAFETY: the frame is in the window and mapped, and the piece ends with it. The window is kept until the next
        // call.
        return (window.mapping.base + Int(address % Self.windowSize), min(count, Domain.frameSize - inFrame))
    }

    /// The window that has an address's frame mapped.
    private func window(at address: UInt64) throws(DMAError) -> ForeignWindow {
        let number = address / Self.windowSize
        let frame: UInt64 = 1 << (address / UInt64(Domain.frameSize) % UInt64(ForeignWindow.frames))
        if let window = windows[number], window.present & frame != 0 { return window }
        let window: ForeignWindow
        do throws(XenError) {
            window = try map(number * UInt64(ForeignWindow.frames))
        } catch {
            throw .remote(address: address, error.errno)
        }
        guard window.present & frame != 0 else { throw .fault(address: address) }
        keep(window, number)
        return window
    }

    private func keep(_ window: ForeignWindow, _ number: UInt64) {
        guard windows.updateValue(window, forKey: number) == nil else { return }
        if order.count < Self.maximumWindows { return order.append(number) }
        windows[order[oldest]] = nil
        order[oldest] = number
        oldest = (oldest + 1) % Self.maximumWindows
    }
}
