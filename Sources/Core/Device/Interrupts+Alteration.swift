import Alteration
import Tap

/// How an interrupt goes out while somebody watches what passes, or alters it.
extension Interrupts {
    @inline(never)
    func raiseInSight(_ vector: Int) {
        guard let alterer else { return raiseAsItIs(vector) }
        // What the guest can't hear of is no passage.
        guard vector >= 0, vector < 2048, usesMessages else { return }
        let passage = Passage.message(vector: vector)
        if parkings.park(passage, RawSpan(), as: alterer, goOn: { [weak self] in self?.raiseAsItIs(vector) }) { return }
        switch alterer.alteration(of: passage, RawSpan()) {
        case .drop?, .refuse?: return
        case .again(let times)?: for _ in 0...times { raiseAsItIs(vector) }
        case .change?, nil: raiseAsItIs(vector)
        }
    }

    /// Sends the message of `vector` for whoever alters, not for the device, when it has waited.
    ///
    /// - Parameter enter: as for `Parkings`; when it gives nil the message doesn't go out.
    public func raise(_ vector: Int, afterWaiting enter: (_ goOn: @escaping () -> Void) -> Parking?) {
        parkings.park(enter) { [weak self] in self?.raiseAsItIs(vector) }
    }

    /// Shows the guest the level of the pin, which has changed, unless it is not to hear of it: then it hears when the
    /// level changes again, or the guest lets through what it has held back.
    @inline(never)
    func passPinInSight(_ asserted: Bool) {
        let passage = Passage.pin(isAsserted: asserted)
        if let alterer {
            let waits = parkings.park(passage, RawSpan(), as: alterer) { [weak self] in
                guard let self, pinAsserted == asserted else { return }
                tap?.note(passage)
                updatePin()
            }
            if waits || alterer.alteration(of: passage, RawSpan()) == .drop { return }
        }
        tap?.note(passage)
        updatePin()
    }
}
