import Device
import Injection
import Linux
import Tap
import Testing
import Trace
import TutorialDevice

/// What becomes of a ring when the interrupt for it is lost.
@Suite struct DebuggingTests {
    @Test func aRingWhoseInterruptIsLostIsCountedAllTheSame() throws {
        let host = Host(loop: try EventLoop())
        let bell = Bell(options: try DeviceOptions(for: Bell.type), host: host)
        let function = try Function(bell, host: host)
        let recorder = try EventRecorder()
        host.tap = recorder
        let injector = try Injector(host, RegisterNames())
        _ = try injector.add(Rule("pin value=1 nth=1 : drop"), limit: 0)
        host.alterer = injector

        let nothing = [UInt32(0)]
        for _ in 0..<2 { try function.write(region: 0, offset: 0, from: nothing.span.bytes) }
        let trace = try EventReader(recorder.file.descriptor, from: .oldest).read(upTo: 100)
        // The pin is asserted by the first ring alone: nobody hears of the second one, either.
        #expect(trace.map(\.kind) == [.write, .altered, .write])
        #expect(bell.read(0, at: 4, width: .dword) == 2)
    }
}
