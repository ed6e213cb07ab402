import Injection
import JSON
import Testing

@testable import Control

/// Rules that come and go over the control socket.
@Suite struct InjectionTests {
    @Test func rulesComeAndGo() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            #expect(try client.inject(.list) == InjectionReport())
            let first = try client.inject(.add(rule: "message : drop", limit: nil))
            #expect(first.done == 1)
            #expect(try client.inject(.add(rule: "read bar=0 : ones", limit: 100)).done == 2)
            // Whoever made them may leave.
            let other = try ControlClient(connectingTo: process.path)
            #expect(try other.inject(.list).rules.map(\.rule) == ["message : drop", "read bar=0 : ones"])
            #expect(try other.inject(.clear(1)).rules.map(\.id) == [2])
            #expect(try other.inject(.clear(nil)).rules.isEmpty)
            #expect(try other.inject(.letGo(nil)).done == 0)
            let kinds = try other.events(within: .seconds(10)).events
            #expect(kinds.map(\.kind) == ["modified", "modified", "modified", "modified"])
            #expect(kinds.first?.message == "Rule 1 alters what passes from now on: 'message : drop'.")
        }
    }

    /// Nothing of what waits would be in the state.
    @Test func whatWaitsGoesOnBeforeTheStateIsSaved() throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            _ = try client.inject(.add(rule: "pin : hold", limit: nil))
            process.happen()
            while try client.inject(.list).waiting.isEmpty {}
            _ = try client.save()
            #expect(try client.inject(.list).waiting.isEmpty)
        }
    }

    @Test(
        arguments: [
            (InjectionRequest.add(rule: "read : burn", limit: nil), "At character 8 of the rule: 'burn' is nothing"),
            (.add(rule: "read : hold", limit: nil), "The device has no vfio-user socket"),
            (.add(rule: "read register=none : ones", limit: nil), "The device has no register 'none'; it has BIST"),
            (.clear(1), "There is no rule 1."), (.letGo(3), "Nothing waits that has the number 3."),
        ])
    func whatCanNotBeIsExplained(request: InjectionRequest, words: String) throws {
        try withDeviceProcess { process in
            let client = try ControlClient(connectingTo: process.path)
            let error = #expect(throws: ControlClientError.self) { try client.inject(request) }
            guard case .refused(let refusal)? = error else { return #expect(Bool(false), "\(error as Any)") }
            #expect(refusal.code == .rule)
            #expect(refusal.description.contains(words), "\(refusal)")
            #expect(try client.inject(.list) == InjectionReport())
        }
    }

    @Test(
        arguments: [
            #","rule":7"#, #","rule":"read : ones","clear":1"#, #","clear":0"#, #","clear":false"#, #","clear":"1""#,
            #","continue":-1"#, #","continue":1.5"#, #","clear":1,"continue":1"#,
            #","rule":"message : drop","holdLimit":0"#,
            #","rule":"message : drop","holdLimit":60001"#, #","rule":"message : drop","holdLimit":"1""#,
        ])
    func whatIsNoRequestIsMalformed(members: String) throws {
        try withDeviceProcess { process in
            let peer = try RawPeer(process.path)
            try peer.send(#"{"version":1,"request":"inject""# + members + "}\n")
            #expect(try peer.lines(1)[0]["error"]?["code"] == "malformed")
        }
    }

    @Test func requestsAreWrittenAsTheyAreRead() throws {
        let requests: [InjectionRequest] = [
            .list, .add(rule: "read : ones", limit: nil), .add(rule: "read : ones", limit: 5), .clear(nil), .clear(3),
            .letGo(nil), .letGo(4),
        ]
        for request in requests {
            let control = ControlRequest.inject(request)
            #expect(try ControlRequest(line: Array(control.json.text.utf8)) == control)
        }
    }
}
