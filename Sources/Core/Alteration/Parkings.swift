import Linux
import Tap

/// The passages of one kind that wait though nobody waits for them, such as interrupts: they go on in the order in
/// which they came, or are forgotten together.
public final class Parkings {
    private struct Waiting {
        let id: Int
        let parking: Parking
        let goOn: () -> Void
    }

    private var waiting: [Waiting] = []
    private var lastID = 0

    public init() {}

    /// Has a passage wait, if whoever alters wants it.
    ///
    /// - Parameter goOn: called once, on the device's thread, when it has waited enough, unless it is forgotten.
    /// - Returns: whether it waits.
    public func park(
        _ passage: Passage, _ bytes: RawSpan, as alterer: any Alterer, goOn: @escaping () -> Void
    ) -> Bool {
        let id = nextID()
        let parking = alterer.parking(of: passage, bytes, since: nil) { [weak self] _ in self?.leave(id) }
        return add(id, parking, goOn)
    }

    /// Has something wait.
    ///
    /// - Parameters:
    ///   - enter: has what it is given called once it has waited enough; gives nil when it can't wait.
    ///   - goOn: as for ``park(_:_:as:goOn:)``.
    /// - Returns: whether it waits.
    @discardableResult
    public func park(
        _ enter: (_ goOn: @escaping () -> Void) -> Parking?, goOn: @escaping () -> Void
    ) -> Bool {
        let id = nextID()
        return add(id, enter { [weak self] in self?.leave(id) }, goOn)
    }

    private func nextID() -> Int {
        lastID += 1
        return lastID
    }

    private func add(_ id: Int, _ parking: Parking?, _ goOn: @escaping () -> Void) -> Bool {
        guard let parking else { return false }
        waiting.append(Waiting(id: id, parking: parking, goOn: goOn))
        return true
    }

    private func leave(_ id: Int) {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return }
        waiting.remove(at: index).goOn()
    }

    /// Has all go on now.
    public func letGo() {
        for one in takeAll() { one.goOn() }
    }

    /// None will ever go on: what they were about is over.
    public func cancel() {
        _ = takeAll()
    }

    private func takeAll() -> [Waiting] {
        let all = waiting
        waiting = []
        for one in all { one.parking.cancel() }
        return all
    }
}
