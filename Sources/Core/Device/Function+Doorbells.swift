import Alteration
import Tap

/// How a doorbell that was rung by its eventfd gets to the device.
extension Function {
    /// Rings a doorbell whose eventfd was signalled. Nothing happens in D3hot, nor while the function stands still:
    /// whoever has the eventfd leaves it as it is until ``isRunning``.
    ///
    /// - Parameters:
    ///   - bar: the index of the BAR that declares it.
    ///   - times: how often it was signalled since it was last rung.
    public func ring(_ doorbell: Doorbell, bar: Int, times: UInt64) {
        guard isRunning, let slot = bar >= 0 && bar < awake.count ? awake[bar] : nil else { return }
        let value = slot.value(of: doorbell)
        if host.isWatched { return ringInSight(doorbell, bar, times, value) }
        device.ring(doorbell, bar: bar, value: value)
    }

    /// Has the doorbells and interrupts go on that wait because whoever alters wants it so: nothing of them is in a
    /// state that is saved, and no other function goes on with them.
    public func letGoOfWhatWaits() {
        // A doorbell may raise an interrupt.
        waitingDoorbells.letGo()
        host.interrupts.parkings.letGo()
    }

    @inline(never)
    private func ringInSight(_ doorbell: Doorbell, _ bar: Int, _ times: UInt64, _ value: UInt64) {
        guard let alterer = host.alterer else { return ringAsItIs(doorbell, bar, times, value) }
        let values = [value]
        let bytes = values.span.bytes.extracting(first: doorbell.keepsValue ? 8 : 0)
        let passage = Passage.doorbell(bar: bar, offset: doorbell.offset, times: times)
        let waits = waitingDoorbells.park(passage, bytes, as: alterer) { [weak self] in
            guard let self, isRunning, awake[bar] != nil else { return }
            ringAsItIs(doorbell, bar, times, value)
        }
        guard !waits else { return }
        switch alterer.alteration(of: passage, bytes) {
        case .drop?, .refuse?: return
        case .change(let change)?:
            let changed = change.changed(values.span.bytes).span.bytes.load(.qword, fromByteOffset: 0)
            ringAsItIs(doorbell, bar, times, doorbell.keepsValue ? changed : value)
        case .again(let more)?: for _ in 0...more { ringAsItIs(doorbell, bar, times, value) }
        case nil: ringAsItIs(doorbell, bar, times, value)
        }
    }

    private func ringAsItIs(_ doorbell: Doorbell, _ bar: Int, _ times: UInt64, _ value: UInt64) {
        host.tap?.note(doorbell, bar, times, value)
        device.ring(doorbell, bar: bar, value: value)
    }
}

extension Tap {
    fileprivate func note(_ doorbell: Doorbell, _ bar: Int, _ times: UInt64, _ value: UInt64) {
        let kept: InlineArray<1, UInt64> = [value]
        let passage = Passage.doorbell(bar: bar, offset: doorbell.offset, times: times)
        if doorbell.keepsValue { note(passage, kept.span.bytes) } else { note(passage) }
    }
}
