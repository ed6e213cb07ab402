import CLinux
import JSON
import Testing

@testable import VirtioGPU

/// The order of replies, and that what is in flight is data.
@Suite struct FenceTests {
    private func fence(_ id: UInt64, context: UInt32 = 0, ring: UInt8? = nil) throws -> Fence {
        var header = virtio_gpu_ctrl_hdr()
        header.flags = ring == nil ? 1 : 3
        header.fence_id = id
        header.ctx_id = context
        header.ring_idx = ring ?? 0
        return try #require(Fence(header))
    }

    private func reply(_ request: UInt64) -> Reply {
        Reply(ticket: Ticket(request: request, takesResponse: true, fence: nil), result: .success(.done))
    }

    /// The requests that are replied to when a place is finished.
    private func finish(_ place: FenceTimelines.Place, _ request: UInt64?, in timelines: inout FenceTimelines)
        -> [UInt64]
    {
        timelines.finish(place, with: request.map(reply)).map(\.ticket.request)
    }

    @Test func repliesKeepTheOrderOfTheirCommands() {
        var timelines = FenceTimelines()
        let places = (0..<4).map { _ in timelines.enter(.device) }
        #expect(finish(places[2], 2, in: &timelines) == [])
        #expect(finish(places[1], 1, in: &timelines) == [])
        #expect(finish(places[0], 0, in: &timelines) == [0, 1, 2])
        #expect(finish(places[3], 3, in: &timelines) == [3])
    }

    @Test func oneTimelineWaitsForNoOther() throws {
        var timelines = FenceTimelines()
        let fences = [
            try fence(1), try fence(2, context: 7, ring: 0), try fence(3, context: 7, ring: 1),
            try fence(4, context: 8, ring: 0), try fence(5, context: 7),
        ]
        let places = fences.map { timelines.enter(.init($0)) }
        for index in 1...3 { #expect(finish(places[index], UInt64(index), in: &timelines) == [UInt64(index)]) }
        // Without the flag the context is nothing: it is the device's.
        #expect(finish(places[4], 4, in: &timelines) == [])
        #expect(finish(places[0], 0, in: &timelines) == [0, 4])
    }

    @Test func aPlaceWithoutAReplyHoldsBackWhatIsBehindIt() {
        var timelines = FenceTimelines()
        let held = timelines.enter(.device)
        let place = timelines.enter(.device)
        #expect(finish(place, 1, in: &timelines) == [])
        #expect(finish(held, nil, in: &timelines) == [1])
    }

    @Test func aPlaceFromBeforeAResetIsNobodys() {
        var timelines = FenceTimelines()
        let old = timelines.enter(.device)
        timelines.removeAll()
        let new = timelines.enter(.device)
        #expect(finish(old, 1, in: &timelines) == [])
        #expect(finish(new, 2, in: &timelines) == [2])
        #expect(finish(new, 2, in: &timelines) == [], "once")
    }

    /// What another process would need to go on with it. Rule 3 of the design.
    @Test func workInFlightIsData() throws {
        var timelines = FenceTimelines()
        let fence = try fence(.max, context: 3, ring: 5)
        let due = Due(
            ticket: Ticket(request: 9, takesResponse: true, fence: fence), place: timelines.enter(.init(fence)))
        let copy = Heads.Copy(head: 1, part: .init(x: 1, y: 2, width: 3, height: 4), pixels: 4096..<8192)
        for sequel in [
            .nothing, .contextMade(4, serial: 5), .resourceMade(6, serial: 7), .pixelsCopied([copy]),
            .cursorRead(.init(head: 2, format: .abgr8888)),
        ] as [RendererWork.Sequel] {
            let work = RendererWork(sequel: sequel, due: due)
            #expect(try JSON(parsing: JSON(encoding: work).text).decode(RendererWork.self) == work)
        }
        let picture = FramePacing.Postponed(moment: 10, heads: HeadSet(head: 3), due: due)
        #expect(try JSON(parsing: JSON(encoding: picture).text).decode(FramePacing.Postponed.self) == picture)
    }
}
