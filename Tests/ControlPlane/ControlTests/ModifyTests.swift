import Device
import JSON
import Linux
import Testing

@testable import Control

/// Quotas that change, and what a frame rate does to those who look.
@Suite struct ModifyTests {
    private func reply(_ process: DeviceProcess, _ members: String) throws -> JSON {
        let peer = try RawPeer(process.path)
        try peer.send(#"{"version":1,"request":"modify""# + members + "}\n")
        return try peer.lines(1)[0]
    }

    @Test func theAnswerIsTheQuotaInForce() throws {
        try withDeviceProcess { process in
            #expect(
                try reply(process, #","vram":8192"#) == ["version": 1, "result": ["vram": 8192, "frameRate": 0]])
            #expect(
                try reply(process, #","frameRate":30"#) == ["version": 1, "result": ["vram": 8192, "frameRate": 30]])
            let client = try ControlClient(connectingTo: process.path)
            #expect(
                try client.modify(Quota(videoMemory: 4096, frameRate: 0)) == Quota(videoMemory: 4096, frameRate: 0))
        }
    }

    @Test func aQuotaThatCanNotBeIsExplained() throws {
        try withDeviceProcess { process in
            #expect(
                try reply(process, #","vram":1,"frameRate":30"#) == [
                    "version": 1, "error": ["code": "quota", "message": "Video memory can't be 1 bytes."],
                ])
            let client = try ControlClient(connectingTo: process.path)
            #expect(throws: ControlClientError.refused(ControlError(.quota, "Video memory can't be 2 bytes."))) {
                try client.modify(Quota(videoMemory: 2))
            }
        }
    }

    @Test(
        arguments: [
            "", #","vram":-1"#, #","vram":"1M""#, #","vram":1.5"#, #","vram":null"#, #","frameRate":-1"#,
            #","vram":4096,"frameRate":"60""#, #","vram":99999999999999999999"#,
        ])
    func whatIsNoQuotaIsMalformed(members: String) throws {
        try withDeviceProcess { process in
            #expect(try reply(process, members)["error"]?["code"] == "malformed")
            // Nothing has changed, so there is nothing to tell before this.
            process.happen()
            let client = try ControlClient(connectingTo: process.path)
            #expect(try client.events(within: .seconds(10)).events.map(\.kind) == ["client-connected"])
        }
    }

    @Test func aChangeIsAnEvent() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            for _ in 0..<2 { _ = try client.modify(Quota(videoMemory: 8192)) }
            _ = try client.modify(Quota(frameRate: 30))
            let events = try client.events(within: .seconds(10)).events
            #expect(events.map(\.kind) == ["modified", "modified"])
            #expect(
                events.map(\.message) == [
                    "The quota is now 8192 bytes of video memory and any number of pictures a second.",
                    "The quota is now 8192 bytes of video memory and 30 pictures a second.",
                ])
        }
    }

    @Test func whoeverComesSoonGetsTheSamePictureWhole() throws {
        try withDeviceProcess { process in
            let clients = try (0..<3).map { _ in try ControlClient(connectingTo: process.path) }
            _ = try clients[0].modify(Quota(frameRate: 1))
            for client in clients {
                let scanout = try client.screenshot()
                #expect(contents(of: scanout.memory, count: 16) == TestDevice.visible)
            }
        }
    }

    @Test func aMonitorComesAndGoes() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            try client.connect(Monitor(width: 1280, height: 720), to: 1)
            try client.connect(nil, to: 1)
            #expect(throws: ControlClientError.refused(ControlError(.monitor, "Head 0 keeps its monitor."))) {
                try client.connect(nil, to: 0)
            }
            #expect(
                try client.events(within: .seconds(10)).events.map(\.message) == [
                    "Head 1 now has a monitor of 1280x720.", "Head 1 now has no monitor.",
                ])
            let malformed = [
                "", #","head":-1"#, #","head":1,"width":640"#, #","head":1,"width":"640","height":480"#,
                #","head":1,"width":640,"height":null"#,
            ]
            for members in malformed {
                let peer = try RawPeer(process.path)
                try peer.send(#"{"version":1,"request":"monitor""# + members + "}\n")
                #expect(try peer.lines(1)[0]["error"]?["code"] == "malformed", "\(members)")
            }
        }
    }

    @Test func aDeviceWithoutLimitsMonitorsAndPicturesSaysSo() throws {
        let host = Host(loop: try EventLoop())
        let device = try BareDevice(options: DeviceOptions(for: BareDevice.type), host: host)
        let delegate = DeviceProcess.Delegate(try Function(device, host: host))
        let refusals: [(ControlRequest, ControlError)] = [
            (.modify(Quota(videoMemory: 1 << 20)), ControlError(.quota, "A 'bare' has no video memory.")),
            (.modify(Quota(frameRate: 1)), ControlError(.quota, "A 'bare' shows no pictures.")),
            (.monitor(nil, head: 0), ControlError(.monitor, "Monitors of a 'bare' neither come nor go.")),
            (.screenshot(head: 0), ControlError(.noSuchHead, "The device has no head 0: it has none.")),
        ]
        for (request, refusal) in refusals {
            #expect(throws: refusal) {
                if case .inPieces(let next) = try delegate.answer(request, Tracing()) { _ = try next() }
            }
        }
    }
}
