import Testing

@testable import Device

@Suite struct DamageListTests {
    private func screen(width: Int = 1000, height: Int = 1000) throws -> Scanout {
        try Screen(width: width, height: height, format: .indexed8).picture
    }

    private func taken(_ rectangles: [Rectangle], of picture: Scanout) -> [Rectangle] {
        var list = DamageList()
        _ = list.take(of: picture)
        for rectangle in rectangles { list.add(rectangle) }
        return list.take(of: picture)
    }

    @Test func whatIsTakenIsForgotten() throws {
        let picture = try screen(width: 7, height: 8)
        let part = Rectangle(x: 1, y: 2, width: 3, height: 4)
        #expect(taken([part], of: picture) == [part])
        var list = DamageList()
        list.add(part)
        #expect(list.take(of: picture) == [Rectangle(x: 0, y: 0, width: 7, height: 8)], "everything at first")
        #expect(list.take(of: picture).isEmpty)
    }

    @Test func everythingIsThatOfThePictureThatThereIsThen() throws {
        var list = DamageList()
        #expect(list.take(of: nil).isEmpty)
        #expect(try list.take(of: screen(width: 7, height: 8)) == [Rectangle(x: 0, y: 0, width: 7, height: 8)])
        list.add(Rectangle(x: 1, y: 2, width: 3, height: 4))
        list.addAll()
        #expect(try list.take(of: screen(width: 5, height: 6)) == [Rectangle(x: 0, y: 0, width: 5, height: 6)])
    }

    @Test func rectanglesAreClippedToThePicture() throws {
        let picture = try screen(width: 100, height: 50)
        let outside = [
            Rectangle(x: 100, y: 0, width: 5, height: 5), Rectangle(x: -5, y: 0, width: 5, height: 5),
            Rectangle(x: 0, y: 0, width: 0, height: 5),
        ]
        #expect(taken(outside, of: picture).isEmpty)
        let partly = Rectangle(x: -5, y: 40, width: 10, height: 20)
        #expect(taken([partly], of: picture) == [Rectangle(x: 0, y: 40, width: 5, height: 10)])
    }

    @Test func aCoveredRectangleIsNotToldTwice() throws {
        let picture = try screen()
        let small = Rectangle(x: 10, y: 10, width: 5, height: 5)
        let large = Rectangle(x: 0, y: 0, width: 50, height: 50)
        #expect(taken([small, large], of: picture) == [large])
        #expect(taken([large, small], of: picture) == [large])
        #expect(taken([small, small], of: picture) == [small])
    }

    @Test func tooManyAreJoinedAndNoneIsLost() throws {
        let scattered = (0..<200).map { Rectangle(x: $0 % 20 * 50, y: $0 / 20 * 100, width: 2, height: 3) }
        let list = try taken(scattered, of: screen())
        #expect(list.count == DamageWatch.maximumRectangles)
        #expect(scattered.allSatisfy { dot in list.contains { $0.contains(dot) } })
        #expect(list.allSatisfy { Rectangle(x: 0, y: 0, width: 1000, height: 1000).contains($0) })
    }
}
