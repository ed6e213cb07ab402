import Device

extension CommandProcessor {
    struct State: Codable, Equatable, Sendable {
        var resources: [ResourceTable.Saved]
        var heads: [Head.State]
    }

    var state: State { State(resources: resources.state, heads: heads.state) }

    /// - Throws: `StateError`; nothing has changed then.
    func restore(_ state: State) throws(StateError) {
        let restored = try ResourceTable(state.resources, in: memory)
        let shown = try heads.check(state.heads, showing: restored)
        guard memory.hold(restored.ranges + shown.ranges) else {
            throw StateError("Pictures of the state overlap, or don't fit into \(memory.limit) bytes of memory.")
        }
        // Now that all that was there is nobody's: nothing of it may be taken back, and what is held be made zero.
        forgetWork()
        resources = restored
        heads.restore(shown)
    }
}
