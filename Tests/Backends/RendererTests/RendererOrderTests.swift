import Testing

@testable import Renderer

@Suite struct RendererOrderTests {
    @Test func whatARendererIsStartedWithIsReadAsItWasMeant() {
        for kinds in [.virgl, .venus, [.virgl, .venus]] as [RendererKinds] {
            for node in [nil, "/dev/dri/renderD128"] {
                for window in [0, 64 << 20] as [UInt64] {
                    let order = RendererOrder(kinds: kinds, renderNode: node, window: window)
                    #expect(RendererOrder(order.arguments) == order)
                }
            }
        }
    }

    @Test(arguments: [
        [], ["opengl"], ["venus+virgl"], ["virgl", "/dev/null", "more"], ["venus", "--window"],
        ["venus", "--window", "-1"], ["venus", "--window", "1", "more"],
    ])
    func whatMakesNoSenseIsRefused(_ arguments: [String]) {
        #expect(RendererOrder(arguments) == nil)
    }

    @Test func kindsHaveTheWordsOfTheDevicesOption() {
        #expect(RendererKinds.words == ["virgl", "venus", "virgl+venus"])
        #expect(RendererKinds.words.map { RendererKinds($0)?.rawValue } == [1, 2, 3])
    }
}
