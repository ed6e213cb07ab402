import Alteration
import Tap

/// How an interrupt goes out while somebody alters what passes.
extension Interrupts {
    func raise(_ vector: Int, alteredBy alterer: any Alterer) {
        // What the guest can't hear of is no passage.
        guard vector >= 0, vector < 2048, usesMessages else { return }
        let passage = Passage.message(vector: vector)
        let parking = alterer.parking(of: passage, RawSpan(), since: nil) { [weak self] _ in self?.raiseAsItIs(vector) }
        guard parking == nil else { return }
        switch alterer.alteration(of: passage, RawSpan()) {
        case .drop?, .refuse?: return
        case .again(let times)?: for _ in 0...times { raiseAsItIs(vector) }
        case .change?, nil: raiseAsItIs(vector)
        }
    }

    /// Shows the guest the level of the pin, which has changed, unless it is not to hear of it: then it hears when the
    /// level changes again, or the guest lets through what it has held back.
    func passPin(_ asserted: Bool, alteredBy alterer: any Alterer) {
        let passage = Passage.pin(isAsserted: asserted)
        let parking = alterer.parking(of: passage, RawSpan(), since: nil) { [weak self] _ in
            guard let self, pinAsserted == asserted else { return }
            tap?.note(passage)
            updatePin()
        }
        guard parking == nil else { return }
        if alterer.alteration(of: passage, RawSpan()) == .drop { return }
        tap?.note(passage)
        updatePin()
    }
}
