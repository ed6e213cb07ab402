import Device

/// The frame rate: what the guest flushes beyond it is shown later, and so is the fence of that flush and of all behind it: a
/// driver that waits for fences, as one with 3D does, draws no faster. Commands without a fence wait for nothing.
extension CommandProcessor {
    /// Flushed pictures whose moment has not come.
    struct Postponed {
        let moment: UInt64
        let heads: [Head]
        /// Gives the response back, or lets what is behind the flush go on.
        let finish: (Result<Response.Outcome, Refusal>) -> Void
    }

    /// When what is flushed now is to be shown; nil: now.
    func moment(of heads: [Head]) -> UInt64? {
        guard frameRate > 0 else { return nil }
        let now = host.nanoseconds()
        return heads.map { $0.pacer.moment(at: frameRate, now: now) }.max().flatMap { $0 > now ? $0 : nil }
    }

    /// Keeps pictures back until their moment.
    ///
    /// - Parameter place: that of the flush in its timeline; nil: it has no fence, and is answered already.
    func postpone(
        _ heads: [Head], until moment: UInt64, place: FenceTimelines.Place?,
        finish: @escaping (Result<Response.Outcome, Refusal>) -> Void
    ) {
        var finish = finish
        if place == nil {
            // One that is far ahead is shown with what waits already, and fences behind it wait for that.
            let isWaiting = postponed.contains { waiting in
                waiting.moment == moment && heads.allSatisfy { head in waiting.heads.contains { $0 === head } }
            }
            guard !isWaiting else { return }
            let held = timelines.enter(.device)
            finish = { [unowned self] _ in for send in timelines.finish(held, send: {}) { send() } }
        }
        let index = postponed.firstIndex { $0.moment > moment } ?? postponed.count
        postponed.insert(Postponed(moment: moment, heads: heads, finish: finish), at: index)
        if index == 0 { setAlarm() }
    }

    private func setAlarm() {
        let now = host.nanoseconds()
        // At least 1: 0 would be none.
        onAlarm(postponed.first.map { $0.moment > now ? $0.moment - now : 1 } ?? 0)
    }

    /// Shows the pictures whose moment has come.
    func showDue() {
        let now = host.nanoseconds()
        while let first = postponed.first, first.moment <= now {
            postponed.removeFirst()
            carryOut(first)
        }
        setAlarm()
    }

    /// Shows all pictures now.
    func showPostponed() {
        guard !postponed.isEmpty else { return }
        let all = postponed
        postponed = []
        for picture in all { carryOut(picture) }
        setAlarm()
    }

    private func carryOut(_ picture: Postponed) {
        do throws(Refusal) {
            guard let (commands, then) = try show(picture.heads) else { return picture.finish(.success(.done)) }
            try send(commands, isFenced: true, then: then, picture.finish)
        } catch {
            picture.finish(.failure(error))
        }
    }

    /// Nothing that was postponed is shown any more, and the next picture is the first.
    func forgetPostponed() {
        postponed = []
        for head in heads { head.pacer = FramePacer() }
        setAlarm()
    }

    /// Another rate is in force: the next picture is the first under it.
    func changeRate() {
        showPostponed()
        for head in heads { head.pacer = FramePacer() }
    }
}
