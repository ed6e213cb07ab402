import PCI
import Testing

/// Where a function is, in the way of lspci.
@Suite struct FunctionAddressTests {
    @Test(arguments: ["00:05.0", "ff:1f.7", "0a:10.3"])
    func whatIsWrittenIsRead(text: String) throws {
        #expect(try #require(FunctionAddress(text)).description == text)
    }

    @Test func theRoutingIDHasAllThree() throws {
        #expect(try #require(FunctionAddress("81:1e.5")).routingID == 0x81f5)
    }

    @Test(arguments: [
        "", "5", "00:5.0", "00:20.0", "00:05.8", "00:05", "000:05.0", "00:05.00", "+1:05.0", "00:05.0 ", "0:0:5.0",
    ])
    func nothingElseIsAnAddress(text: String) {
        #expect(FunctionAddress(text) == nil)
    }
}
