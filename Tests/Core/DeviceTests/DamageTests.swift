import SeededRandom
import Testing

@testable import Device

/// Several who watch one picture, on a display that tells what it changes and on one that has it found.
@Suite struct DamageTests {
    /// One who repaints a picture of their own from what they are told.
    private final class Viewer {
        let watch: DamageWatch
        private(set) var pixels: [[UInt8]]

        init(_ screen: Screen) {
            watch = screen.watchDamage()
            pixels = Array(repeating: [], count: screen.picture.height)
            for y in pixels.indices { pixels[y] = Array(repeating: 0xaa, count: screen.picture.width * 3) }
        }

        /// - Parameter meanwhile: what happens between being told and looking.
        func repaint(meanwhile: () -> Void = {}) {
            let rectangles = watch.take()
            #expect(rectangles.count <= DamageWatch.maximumRectangles)
            meanwhile()
            guard let picture = watch.picture?.pixels else { return }
            for rectangle in rectangles {
                let bytes = rectangle.x * 3..<(rectangle.x + rectangle.width) * 3
                for y in rectangle.y..<rectangle.y + rectangle.height {
                    pixels[y].replaceSubrange(bytes, with: picture[y][bytes])
                }
            }
        }
    }

    @Test(arguments: [true, false]) func eachWatcherIsToldEverything(tells: Bool) throws {
        let screen = try Screen(width: 128, height: 32, tells: tells)
        let watches = (0..<2).map { _ in screen.watchDamage() }
        for watch in watches { #expect(watch.take() == [screen.whole]) }
        screen.draw(70, 20, 1)
        let told = watches.map { $0.take() }
        let dot = Rectangle(x: 70, y: 20, width: 1, height: 1)
        #expect(told[0].count == 1 && told[0][0].contains(dot) && told[0] != [screen.whole])
        #expect(told[1] == told[0])
        for watch in watches { #expect(watch.take().isEmpty) }
    }

    @Test(arguments: [true, false]) func whoComesLateIsToldTheWholePictureFirst(tells: Bool) throws {
        let screen = try Screen(width: 128, height: 32, tells: tells)
        let first = screen.watchDamage()
        _ = first.take()
        screen.draw(0, 0, 1)
        #expect(first.take().count == 1)
        let second = screen.watchDamage()
        #expect(second.take() == [screen.whole])
        #expect(second.take().isEmpty)
        #expect(first.take().isEmpty, "it knew already")
    }

    @Test(arguments: [true, false]) func whoComesWhileNothingIsShownIsToldEverythingOnceItIs(tells: Bool) throws {
        let screen = try Screen(width: 128, height: 32, tells: tells)
        let first = screen.watchDamage()
        _ = first.take()
        screen.isOn = false
        screen.damage.addAll()
        let second = screen.watchDamage()
        #expect(second.take().isEmpty)
        #expect(first.take().isEmpty)
        screen.isOn = true
        screen.damage.addAll()
        #expect(second.take() == [screen.whole])
        #expect(first.take() == [screen.whole])
    }

    /// The display's copy of the pixels is from before the picture was away, and equal to it.
    @Test func aPictureThatWasAwayUnseenIsWholeForWhoCameMeanwhile() throws {
        let screen = try Screen(width: 128, height: 32)
        let first = screen.watchDamage()
        _ = first.take()
        screen.isOn = false
        let second = screen.watchDamage()
        screen.isOn = true
        #expect(second.take() == [screen.whole])
        #expect(first.take().isEmpty)
    }

    @Test(arguments: [true, false]) func whoNeverTakesKeepsLittleAndTakesFromNobody(tells: Bool) throws {
        let screen = try Screen(width: 1024, height: 512, format: .indexed8, tells: tells)
        let (idle, other) = (screen.watchDamage(), screen.watchDamage())
        for watch in [idle, other] { _ = watch.take() }
        var dots: [Rectangle] = []
        for y in stride(from: 0, to: 512, by: 16) {
            for x in stride(from: y / 16 % 2 * 64, to: 1024, by: 128) {
                screen.draw(x, y, 1)
                dots.append(Rectangle(x: x, y: y, width: 1, height: 1))
                let told = other.take()
                #expect(told.count == 1 && told.allSatisfy { $0.contains(dots[dots.count - 1]) })
            }
        }
        #expect(dots.count == 256)
        let told = idle.take()
        #expect(told.count == DamageWatch.maximumRectangles)
        #expect(dots.allSatisfy { dot in told.contains { $0.contains(dot) } })
    }

    @Test func theCopyOfThePixelsIsThereWhileSomebodyWatches() throws {
        let screen = try Screen(width: 128, height: 32)
        var watches = (0..<2).map { _ in screen.watchDamage() }
        #expect(watches[0].picture?.memory === screen.picture.memory, "nobody has looked")
        _ = watches[0].take()
        weak let copy = watches[0].picture?.memory
        #expect(copy != nil && copy !== screen.picture.memory)
        #expect(watches[1].picture?.memory === copy, "one for all")
        watches.removeFirst()
        #expect(copy != nil)
        watches = []
        #expect(copy == nil)
        #expect(screen.watchDamage().take() == [screen.whole])
    }

    @Test func whatIsGoneHasNoDamage() throws {
        var screen: Screen? = try Screen(width: 128, height: 32)
        let watch = screen?.watchDamage()
        _ = watch?.take()
        screen = nil
        #expect(watch?.take() == [])
        #expect(watch?.picture == nil)
    }

    /// Each at a pace of their own, with others who look and a guest who draws between being told and reading.
    @Test(arguments: [true, false], 1...3 as ClosedRange<UInt64>)
    func whoeverRepaintsWhatTheyAreToldHasThePicture(tells: Bool, seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let screen = try Screen(width: 130, height: 40, format: .rgb565, tells: tells)
        func draw() {
            for _ in 0..<Int.random(in: 0..<30, using: &random) {
                let (x, y) = (Int.random(in: 0..<130, using: &random), Int.random(in: 0..<40, using: &random))
                screen.draw(x, y, [0, 0xff].randomElement(using: &random) ?? 0)
            }
        }
        var viewers = [Viewer(screen), Viewer(screen), Viewer(screen)]
        for step in 0..<40 {
            draw()
            if step == 10 { viewers.append(Viewer(screen)) }
            if step == 25 { viewers.removeFirst() }
            for (index, viewer) in viewers.enumerated() where step % (1 << index) == 0 {
                viewer.repaint {
                    draw()
                    if let other = viewers.last, other !== viewer { other.repaint() }
                }
            }
        }
        for viewer in viewers {
            viewer.repaint()
            #expect(viewer.pixels == screen.pixels)
        }
    }
}
