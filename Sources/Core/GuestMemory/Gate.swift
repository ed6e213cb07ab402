/// Whether accesses go out, for an address space and for the pins of it alike.
///
/// Looked at where an access leaves the map of the one before, so that those which stay cost nothing: whoever keeps
/// such a map forgets it when the gate closes.
final class Gate {
    private(set) var isOpen = true
    /// By their serial number. A pin removes itself before it goes.
    private var pins: [UInt64: Unowned] = [:]

    private struct Unowned {
        unowned let pin: Pin
    }

    func add(_ pin: Pin, _ serial: UInt64) { pins[serial] = Unowned(pin: pin) }
    func remove(_ serial: UInt64) { pins[serial] = nil }

    func open() { isOpen = true }

    func close() {
        isOpen = false
        for entry in pins.values { entry.pin.forgetRecent() }
    }
}
