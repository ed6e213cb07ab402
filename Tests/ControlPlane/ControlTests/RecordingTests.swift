import Control
import Device
import JSON
import Linux
import Tap
import Testing

/// Whoever has the control socket can record what passes the device's doors, with all that is needed to live it again.
@Suite struct RecordingTests {
    /// All records up to one that fits.
    private func records(
        of recording: LiveRecording, until fits: (Record) -> Bool
    ) throws -> [Record] {
        var records: [Record] = []
        let end = Deadline(after: .seconds(10))
        while !end.hasPassed {
            guard let bytes = try recording.next(within: .seconds(1)) else { continue }
            records.append(try Record(decoding: bytes.span.bytes))
            if let last = records.last, fits(last) { return records }
        }
        return records
    }

    @Test(arguments: [false, true]) func aRecordingHasADescriptionAStateAndWhatPasses(isLossless: Bool) throws {
        try withDeviceProcess { process in
            let recording = try ControlClient(connectingTo: process.path).record(isLossless: isLossless)
            #expect(recording.type == "test" && recording.mapped.isEmpty)
            process.happen()
            let records = try records(of: recording) { $0.name == "happening" }
            #expect(records.first?.kind == .description)
            let text = try JSON(parsing: #require(records.first?.bytes))
            let description: RecordingDescription = try text.decode()
            #expect(description.format == 1 && description.type == "test" && description.options == ["a": "b"])
            #expect(records.contains { $0.kind == .limits && $0.offset == 4096 })
            let state = records.filter { $0.kind == .state }
            #expect(state.map(\.offset).first == 0)
            #expect(state.map(\.bytes.count).reduce(0, +) == state.first.map { Int($0.count) })
            #expect(state.first?.bytes.prefix(8) == Array("MEDIATED".utf8)[...])
            #expect(records.last?.kind == .init(.event))
        }
    }

    @Test func aRecordingThatIsEndedHasPicturesAndAnEnd() throws {
        try withDeviceProcess { process in
            let recording = try ControlClient(connectingTo: process.path).record(isLossless: true)
            try recording.end()
            let records = try records(of: recording) { $0.kind == .end }
            #expect(records.last?.kind == .end)
            let pictures = records.filter { $0.kind == .picture }
            #expect(pictures.map(\.region) == [0, 2])
            #expect(pictures.allSatisfy { $0.offset == 2 && $0.value == 2 && $0.count == 16 })
            #expect(pictures.first?.bytes == TestDevice.visible)
            // The next one can begin now.
            _ = try ControlClient(connectingTo: process.path).record(isLossless: true)
        }
    }

    @Test func onlyOneRecordsAtATimeAndWatchersStay() throws {
        try withDeviceProcess { process in
            let watcher = try ControlClient(connectingTo: process.path)
            let events = try watcher.trace().events
            do {
                let recording = try ControlClient(connectingTo: process.path).record(isLossless: false)
                let refusal = #expect(throws: ControlClientError.self) {
                    try ControlClient(connectingTo: process.path).record(isLossless: false)
                }
                #expect(refusal?.description.contains("records the device already") == true)
                process.happen()
                #expect(try records(of: recording) { $0.name == "happening" }.last?.name == "happening")
            }
            // An answer says that the process has seen the recorder leave.
            _ = try ControlClient(connectingTo: process.path).info()
            process.happen()
            let end = Deadline(after: .seconds(10))
            var happened = 0
            while happened < 2, !end.hasPassed { happened += events.read(upTo: 100).count { $0.name == "happening" } }
            #expect(happened == 2)
            let again = try ControlClient(connectingTo: process.path).record(isLossless: false)
            #expect(try records(of: again) { $0.kind == .state }.last?.kind == .state)
        }
    }

    @Test func whatCanNotBeSavedCanNotBeRecordedFromHere() throws {
        try withDeviceProcess { process in
            let events = try ControlClient(connectingTo: process.path).trace().events
            process.becomeUnsavable()
            let end = Deadline(after: .seconds(10))
            while !end.hasPassed, !events.read(upTo: 100).contains(where: { $0.name == "happening" }) {}
            let client = try ControlClient(connectingTo: process.path)
            let refusal = #expect(throws: ControlClientError.self) { try client.record(isLossless: false) }
            #expect(refusal?.description.contains("has what can't be saved") == true, "\(String(describing: refusal))")
            #expect(throws: ControlClientError.self) { _ = try client.save() }
        }
    }

    @Test func whoHasEndedARecordingEndsNobodyElsesByLeaving() throws {
        try withDeviceProcess { process in
            let second: LiveRecording
            do {
                let first = try ControlClient(connectingTo: process.path).record(isLossless: true)
                try first.end()
                #expect(try records(of: first) { $0.kind == .end }.last?.kind == .end)
                second = try ControlClient(connectingTo: process.path).record(isLossless: false)
                // It has no recording any more that could be ended.
                #expect(throws: ControlClientError.self) { try first.end() }
            }
            // An answer says that the process has seen the first one leave.
            _ = try ControlClient(connectingTo: process.path).info()
            #expect(throws: ControlClientError.self) {
                try ControlClient(connectingTo: process.path).record(isLossless: false)
            }
            process.happen()
            #expect(try records(of: second) { $0.name == "happening" }.last?.name == "happening")
        }
    }

    @Test func manyRecordingsOverOneConnectionAreOneAfterTheOther() throws {
        try withDeviceProcess { process in
            let peers = try (0..<ControlServer.connectionLimit).map { _ in try ControlClient(connectingTo: process.path)
            }
            for peer in peers {
                for _ in 0..<2 {
                    let recording = try peer.record(isLossless: true)
                    try recording.end()
                    #expect(try records(of: recording) { $0.kind == .end }.last?.kind == .end)
                    // The end is there before the process's turn is over.
                    _ = try peer.info()
                }
            }
        }
    }

    @Test func whoRecordsWatchesOverAnotherConnection() throws {
        try withDeviceProcess { process in
            do {
                let peer = try RawPeer(process.path)
                peer.socket.setTakesDescriptors(true)
                for request in ["record", "trace"] { try peer.send("{\"version\":1,\"request\":\"\(request)\"}\n") }
                let answers = try peer.lines(2)
                #expect(answers.map { $0["error"]?["code"]?.string } == [nil, "failed"])
            }
            _ = try ControlClient(connectingTo: process.path).info()
            _ = try ControlClient(connectingTo: process.path).record(isLossless: false)
        }
    }

    @Test func whoRecordsLearnsOfTheEndOfTheProcess() throws {
        try withDeviceProcess { process in
            let recording = try ControlClient(connectingTo: process.path).record(isLossless: false)
            #expect(try !recording.isCutOff())
            process.end()
            #expect(try recording.isCutOff())
            #expect(try recording.next(within: .zero) != nil)
        }
    }

    @Test func wrongRequestsAreAnswered() throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send("{\"version\":1,\"request\":\"record\",\"lossless\":7}\n")
            try peer.send("{\"version\":1,\"request\":\"end-recording\"}\n")
            let answers = try peer.lines(2)
            #expect(answers.map { $0["error"]?["code"]?.string } == ["malformed", "failed"])
        }
    }
}
