import Device
import Testing

@Suite struct DamageListTests {
    private func taken(_ rectangles: [Rectangle], width: Int = 1000, height: Int = 1000) -> [Rectangle] {
        var list = DamageList()
        for rectangle in rectangles { list.add(rectangle, width: width, height: height) }
        return list.take()
    }

    @Test func whatIsTakenIsForgotten() {
        var list = DamageList()
        list.add(Rectangle(x: 1, y: 2, width: 3, height: 4), width: 10, height: 10)
        #expect(list.take() == [Rectangle(x: 1, y: 2, width: 3, height: 4)])
        #expect(list.take().isEmpty)
        list.addAll(width: 7, height: 8)
        list.clear()
        #expect(list.take().isEmpty)
    }

    @Test func rectanglesAreClippedToThePicture() {
        let outside = [
            Rectangle(x: 100, y: 0, width: 5, height: 5), Rectangle(x: -5, y: 0, width: 5, height: 5),
            Rectangle(x: 0, y: 0, width: 0, height: 5),
        ]
        #expect(taken(outside, width: 100, height: 50).isEmpty)
        let partly = Rectangle(x: -5, y: 40, width: 10, height: 20)
        #expect(taken([partly], width: 100, height: 50) == [Rectangle(x: 0, y: 40, width: 5, height: 10)])
    }

    @Test func aCoveredRectangleIsNotToldTwice() {
        let small = Rectangle(x: 10, y: 10, width: 5, height: 5)
        let large = Rectangle(x: 0, y: 0, width: 50, height: 50)
        #expect(taken([small, large]) == [large])
        #expect(taken([large, small]) == [large])
        #expect(taken([small, small]) == [small])
    }

    @Test func tooManyAreJoinedAndNoneIsLost() {
        let scattered = (0..<200).map { Rectangle(x: $0 % 20 * 50, y: $0 / 20 * 100, width: 2, height: 3) }
        let list = taken(scattered)
        #expect(list.count == DamageList.maximumRectangles)
        #expect(scattered.allSatisfy { dot in list.contains { $0.contains(dot) } })
        #expect(list.allSatisfy { Rectangle(x: 0, y: 0, width: 1000, height: 1000).contains($0) })
    }
}
