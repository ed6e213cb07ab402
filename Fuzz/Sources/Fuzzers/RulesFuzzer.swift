import Control
import Device
import DeviceCatalog
import FuzzSupport
import Injection
import Linux
import PCI
import Trace

/// Rules as anybody may write them, as text and as requests to the control socket, and what they do to a device.
final class RulesFuzzer: FuzzTarget {
    private let function: Function
    private let names: RegisterNames
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case refused, added, cleared, letGo, malformed, request, read, readFailed, written, writeFailed
    }

    init() throws {
        let host = Host(loop: try EventLoop(closesAtOnce: true))
        function = try Function(DeviceCatalog.make("exerciser", options: [], host: host), host: host)
        names = RegisterNames(function.type.registers)
    }

    private static let words = [
        "read", "write", "read|write", "message", "dma-read", "doorbell", "pin", "bar=0", "bar=config",
        "offset=0..0xff",
        "register=scratch", "value=1", "way=call", "queue=0", "nth=2", "every=2", "chance=0.5", "seed=3", "times=2",
        ":", ":", ":",
        "value=0xffffffff", "xor=1", "ones", "corrupt", "errno=EIO", "drop", "repeat=2", "delay=1us", "hold", "raise=1",
        "disconnect",
    ]

    func run(_ input: inout Input) throws {
        function.host.alterer = nil
        function.reset()
        let injector = try Injector(function.host, names)
        function.host.alterer = injector
        while !input.isEmpty {
            switch input.byte() % 6 {
            case 0, 1: add(&input, injector)
            case 2: request(&input)
            case 3: access(&input)
            case 4:
                let id = Int(input.byte() % 8)
                if (try? injector.clear(id == 0 ? nil : id)) != nil { reach.note(.cleared) }
            default:
                if (try? injector.letGo(input.byte() < 128 ? nil : 1)) != nil { reach.note(.letGo) }
            }
            try function.host.loop.dispatch(within: .zero)
        }
        guard injector.report.rules.count <= Injector.mostRules else { fuzzFailed("More rules than there may be.") }
        function.host.alterer = nil
    }

    private func add(_ input: inout Input, _ injector: Injector) {
        var text = ""
        if input.byte() < 64 {
            text = String(decoding: input.take(40), as: UTF8.self)
        } else {
            for _ in 0..<Int(input.byte() % 8) { text += input.pick(Self.words) + " " }
        }
        do {
            let id = try injector.add(Rule(text), limit: 1_000_000)
            guard injector.report.rules.contains(where: { $0.id == id && $0.rule == text }) else {
                fuzzFailed("A rule that isn't there.")
            }
            reach.note(.added)
        } catch let problem as EventFilter.Problem {
            guard problem.position <= text.count else { fuzzFailed("A place behind the end.") }
            reach.note(.refused)
        } catch {
            reach.note(.refused)
        }
    }

    private func request(_ input: inout Input) {
        let members = [
            #""rule":"read : ones""#, #""rule":1"#, #""clear":true"#, #""clear":2"#, #""continue":true"#,
            #""holdLimit":100"#, #""holdLimit":0"#, #""continue":1.5"#,
        ]
        var line = #"{"version":1,"request":"inject""#
        for _ in 0..<Int(input.byte() % 4) { line += "," + input.pick(members) }
        var bytes = Array((line + "}").utf8)
        if input.byte() < 64 { bytes[Int(input.byte()) % bytes.count] = input.byte() }
        reach.note((try? ControlRequest(line: bytes)) == nil ? .malformed : .request)
    }

    private func access(_ input: inout Input) {
        let region = input.pick([0, 2, RegionIndex.configuration])
        let (offset, count) = (UInt64(input.byte()), Int(input.byte() % 9))
        var bytes = input.byte() < 128 ? nil : input.take(count)
        if let source = bytes {
            do {
                try function.write(region: region, offset: offset, from: source.span.bytes)
                reach.note(.written)
            } catch { reach.note(.writeFailed) }
        } else {
            bytes = [UInt8](repeating: 0, count: count)
            guard var target = bytes else { return }
            var span = target.mutableSpan
            var raw = span.mutableBytes
            do {
                try function.read(region: region, offset: offset, into: &raw)
                reach.note(.read)
            } catch { reach.note(.readFailed) }
        }
    }
}
