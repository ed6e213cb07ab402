import GuestMemory
import Linux
import Renderer
import Worker

/// The guest's memory as the renderer sees it: windows, each a whole map that some resource's backing lies in.
///
/// The renderer maps a window itself, from the file behind it, and uses it whenever the guest's commands say so. So
/// each is pinned: an unmap has the renderer told to let go, and is done when it has, or when it has ended. One that
/// takes too long is ended: a client waits.
final class GuestWindows {
    /// The most there are at a time. A virtual machine has a handful; programs without one have a map for each
    /// resource.
    static let maximumCount = Resource.maximumCount

    private final class Window {
        let id: UInt32
        let map: ShareableMap
        var pin: Pin?

        init(_ id: UInt32, _ map: ShareableMap) {
            self.id = id
            self.map = map
        }
    }

    private let memory: AddressSpace
    private let renderer: RendererProcess
    private let loop: EventLoop
    /// By the address where the map begins.
    private var windows: [UInt64: Window] = [:]
    /// The numbers of all windows that the renderer may use.
    private var numbers: Set<UInt32> = []
    private var withdrawals: UInt64 = 0
    /// Another number whenever windows have gone, or there is memory that may be one.
    var changes: UInt64 { withdrawals &+ memory.arrivals }
    /// How many windows the renderer was told to let go of and has not.
    private var leavingCount = 0
    /// Fires when it takes too long.
    private let timer: TimerFD
    private var timerWatch: EventLoop.Token?

    init(_ memory: AddressSpace, for renderer: RendererProcess, loop: EventLoop) throws(Errno) {
        self.memory = memory
        self.renderer = renderer
        self.loop = loop
        timer = try TimerFD()
        timerWatch = try loop.watch("renderer: unmap deadline", timer.descriptor, for: .readable) { [unowned self] _ in
            timer.consume()
            guard leavingCount > 0 else { return }
            let limit = Rendering.settleLimit.inMilliseconds
            renderer.stop("The renderer has not let go of guest memory within \(limit) ms, and was ended.")
        }
    }

    deinit {
        if let timerWatch { loop.unwatch(timerWatch) }
    }

    /// Where the pieces of a backing are for the renderer.
    ///
    /// - Throws: ``Refusal/unreachable(_:)`` when nothing is mapped, ``Refusal/unspecified`` when there is guest memory
    ///   that can't be shared, ``Refusal/outOfMemory`` when there are too many pieces or windows.
    func pieces(of backing: Backing) throws(Refusal) -> [MemoryPiece] {
        var pieces: [MemoryPiece] = []
        for piece in backing.pieces {
            var address = piece.address
            var left = piece.length
            while left > 0 {
                guard pieces.count < RendererCommand.pieceLimit else { throw .outOfMemory }
                let window = try window(at: address)
                let size = min(left - 1, window.map.last - address) + 1
                pieces.append(.init(window: window.id, offset: address - window.map.address, size: size))
                left -= size
                address &+= size
            }
        }
        return pieces
    }

    /// Whether the renderer still has all of these windows. What lies in others it has forgotten.
    func has(_ numbers: Set<UInt32>) -> Bool { numbers.isSubset(of: self.numbers) }

    private func window(at address: UInt64) throws(Refusal) -> Window {
        guard memory.isMapped(address) else { throw .unreachable(.notMapped(address: address)) }
        guard let map = memory.shareableMap(at: address) else { throw .unspecified }
        if let window = windows[map.address] { return window }
        guard map.access == [.read, .write], map.last - map.address < .max else { throw .unspecified }
        guard windows.count < Self.maximumCount else { throw .outOfMemory }
        let size = map.last - map.address + 1
        let window: Window
        do throws(Errno) {
            window = Window(try renderer.share(map.descriptor, offset: map.offset, size: size), map)
        } catch {
            throw .unspecified
        }
        do throws(DMAError) {
            window.pin = try memory.pin(
                address: map.address, size: size, access: map.access,
                onWithdrawal: { [weak self] in self?.letGo(of: map.address) })
        } catch {
            throw .unspecified
        }
        windows[map.address] = window
        numbers.insert(window.id)
        return window
    }

    private func letGo(of address: UInt64) {
        guard let window = windows.removeValue(forKey: address) else { return }
        numbers.remove(window.id)
        withdrawals &+= 1
        leavingCount += 1
        if leavingCount == 1 { timer.set(Rendering.settleLimit) }
        // Until it has let go it may write to any of it; whoever unmaps waits to be told of that as well.
        renderer.withdraw(window.id) { [weak self, memory] in
            Self.markWritten(window, in: memory)
            window.pin?.release()
            guard let self else { return }
            leavingCount -= 1
            // All of them are to be let go of in time: one at a time a renderer might make an unmap wait for minutes.
            if leavingCount == 0 { timer.set(nil) }
        }
    }

    private static func markWritten(_ window: Window, in memory: AddressSpace) {
        memory.dirtyLog.mark(address: window.map.address, size: window.map.last - window.map.address + 1)
    }

    /// The renderer may have written to any of it.
    func markWritten() {
        guard memory.dirtyLog.isStarted else { return }
        for window in windows.values { Self.markWritten(window, in: memory) }
    }

    /// The renderer has ended.
    func removeAll() {
        // Whoever waits for an unmap hears of it: in an order that is always the same.
        let all = windows.values.sorted { $0.id < $1.id }
        windows = [:]
        numbers = []
        for window in all {
            Self.markWritten(window, in: memory)
            window.pin?.release()
        }
    }
}
