import Device
import Glibc
import JSON
import Linux
import Programs
import Testing

@testable import Control

@Suite struct PictureReaderTests {
    /// A picture in one piece or many.
    private func read(_ head: Int, of function: Function, by pictures: PictureReader) throws -> PictureCopy {
        let reading = PictureReading(head, of: function, by: pictures)
        while true {
            if let copy = try reading.next() { return copy }
        }
    }

    // MARK: By a clock of the test's own

    private final class Time {
        var nanoseconds: UInt64 = 7_000_000_000
    }

    private func made() throws -> (device: TestDevice, function: Function) {
        let host = Host(loop: try EventLoop())
        let device = try TestDevice(options: DeviceOptions(for: TestDevice.type), host: host)
        return (device, try Function(device, host: host))
    }

    @Test func aPictureIsReadAsOftenAsTheRateAllows() throws {
        let time = Time()
        let pictures = PictureReader(clock: { time.nanoseconds })
        let (device, function) = try made()
        try device.apply(Quota(frameRate: 30))
        let first = try read(0, of: function, by: pictures)
        time.nanoseconds += 33_333_332
        let second = try read(0, of: function, by: pictures)
        #expect(second.pixels === first.pixels)
        #expect(pictures.frames == 1)
        time.nanoseconds += 1
        let third = try read(0, of: function, by: pictures)
        #expect(third.pixels !== first.pixels)
        #expect(pictures.frames == 2)
        try device.apply(Quota(frameRate: 0))
        for _ in 0..<3 { #expect(try read(0, of: function, by: pictures).pixels !== third.pixels) }
        #expect(pictures.frames == 5)
        try device.apply(Quota(frameRate: 1))
        _ = try read(0, of: function, by: pictures)
        #expect(pictures.frames == 6, "what was read without a limit isn't kept")
    }

    @Test func eachHeadHasItsOwnPictures() throws {
        let time = Time()
        let pictures = PictureReader(clock: { time.nanoseconds })
        let (device, function) = try made()
        try device.apply(Quota(frameRate: 1))
        _ = try read(0, of: function, by: pictures)
        device.isSecondHeadOn = true
        _ = try read(1, of: function, by: pictures)
        _ = try read(1, of: function, by: pictures)
        #expect(pictures.frames == 2)
        device.isSecondHeadOn = false
        #expect(throws: ControlError.self) { try read(1, of: function, by: pictures) }
        #expect(throws: ControlError.self) { try read(3, of: function, by: pictures) }
        device.isSecondHeadOn = true
        _ = try read(1, of: function, by: pictures)
        #expect(pictures.frames == 3, "a head that was off shows no picture from before")
    }

    @Test func nobodyCanWriteToAPictureThatOthersGet() throws {
        let pictures = PictureReader()
        let pixels = try read(0, of: made().function, by: pictures).pixels
        #expect(throws: Errno.self) { try pixels.descriptor.writeAll([9, 9].span.bytes) }
        #expect(contents(of: pixels, count: 16) == TestDevice.visible)
    }

    // MARK: In pieces

    /// A picture of four megabytes, in which each line is all of one byte.
    private static func large(_ byte: UInt8, width: Int = 1024, height: Int = 1024) throws -> Scanout {
        let memory = try MemoryFile(name: "large", size: width * height * 4)
        let line = [UInt8](repeating: byte, count: width * 4)
        for y in 0..<height { memory.replace(at: y * line.count, with: line.span.bytes) }
        return Scanout(
            width: width, height: height, stride: line.count, format: .xrgb8888, memory: memory, offset: 0)
    }

    /// The first byte of every line.
    private func lines(of copy: PictureCopy) -> [UInt8] {
        let bytes = contents(of: copy.pixels, count: copy.picture.stride * copy.picture.height)
        return stride(from: 0, to: bytes.count, by: copy.picture.stride).map { bytes[$0] }
    }

    private func lines(_ parts: (UInt8, Int)...) -> [UInt8] {
        parts.flatMap { [UInt8](repeating: $0.0, count: $0.1) }
    }

    @Test func aLargePictureIsReadInPiecesAndShowsWhatWasThereAtEach() throws {
        let (device, function) = try made()
        let pictures = PictureReader()
        device.show(try Self.large(1))
        let reading = PictureReading(0, of: function, by: pictures)
        #expect(try reading.next() == nil)
        #expect(try reading.next() == nil)
        // As a guest with two buffers does.
        device.show(try Self.large(2))
        #expect(try reading.next() == nil)
        #expect(pictures.frames == 0)
        let copy = try #require(try reading.next())
        #expect(copy.picture.width == 1024 && copy.picture.stride == 4096)
        #expect(lines(of: copy) == lines((1, 512), (2, 512)))
        #expect(pictures.frames == 1)
    }

    @Test func aCursorIsDrawnInPiecesToo() throws {
        let (device, function) = try made()
        let dot = try Self.large(255, width: 1, height: 1)
        let cursor = Cursor(x: 0, y: 700, hotX: 0, hotY: 0, image: dot)
        device.show(try Self.large(1), cursor)
        let reading = PictureReading(0, of: function, by: PictureReader())
        var pieces = 1
        var copy = try reading.next()
        while copy == nil {
            copy = try reading.next()
            pieces += 1
        }
        #expect(pieces == 4)
        let drawn = try #require(copy)
        #expect(lines(of: drawn) == lines((1, 700), (255, 1), (1, 323)))
    }

    @Test func anotherModeBeginsThePictureAnewAndOneThatNeverStaysIsAnError() throws {
        let (device, function) = try made()
        device.show(try Self.large(1))
        let reading = PictureReading(0, of: function, by: PictureReader())
        #expect(try reading.next() == nil)
        device.show(try Self.large(2, width: 512))
        #expect(try reading.next() == nil)
        let copy = try #require(try reading.next())
        #expect(copy.picture.width == 512 && copy.picture.stride == 2048)
        #expect(lines(of: copy) == lines((2, 1024)))
        let restless = PictureReading(0, of: function, by: PictureReader())
        let modes = try [1024, 1000].map { try Self.large(3, width: $0) }
        #expect(throws: ControlError.self) {
            for turn in 0..<100 {
                device.show(modes[turn % 2])
                _ = try restless.next()
            }
        }
        device.show(nil)
        #expect(throws: ControlError.self) { try restless.next() }
    }

    /// A control server whose loop the test runs.
    private func withServer(_ body: (TestDevice, EventLoop, String) throws -> Void) throws {
        let (device, function) = try made()
        let loop = function.host.loop
        let delegate = DeviceProcess.Delegate(function)
        let path = temporaryPath()
        let server = try ControlServer(UnixListener(path: path), loop: loop, delegate: delegate)
        try body(device, loop, path)
        withExtendedLifetime((server, delegate)) {}
    }

    @Test func othersAreServedBetweenThePieces() throws {
        try withServer { device, loop, path in
            device.show(try Self.large(1, height: 8192))
            let first = try RawPeer(path)
            let second = try RawPeer(path)
            first.socket.setTakesDescriptors(true)
            try first.send(#"{"version":1,"request":"screenshot"}"# + "\n")
            // Accepts both, takes the request, and reads a piece.
            for _ in 0..<4 { try loop.dispatch(within: .zero) }
            try second.send(#"{"version":1,"request":"statistics"}"# + "\n")
            while try !second.socket.waitReadable(within: .zero) { try loop.dispatch(within: .seconds(10)) }
            #expect(try !first.socket.waitReadable(within: .zero))
            #expect(try second.lines(1).first?["result"] != nil)
            while try !first.socket.waitReadable(within: .zero) { try loop.dispatch(within: .seconds(10)) }
            #expect(try first.lines(1).first?["result"]?["height"]?.int == 8192)
        }
    }

    @Test func whoLeavesMeanwhileLeavesNothingToDo() throws {
        try withServer { device, loop, path in
            device.show(try Self.large(1))
            do {
                let peer = try RawPeer(path)
                try peer.send(#"{"version":1,"request":"screenshot"}"# + "\n")
                for _ in 0..<3 { try loop.dispatch(within: .zero) }
            }
            let next = try RawPeer(path)
            next.socket.setTakesDescriptors(true)
            try next.send(#"{"version":1,"request":"screenshot"}"# + "\n")
            while try !next.socket.waitReadable(within: .zero) { try loop.dispatch(within: .seconds(10)) }
            #expect(try next.lines(1).first?["result"]?["width"]?.int == 1024)
        }
    }
}
