import DeviceCatalog
import Injection
import Testing
import Trace

/// What a rule may say.
@Suite struct RuleTests {
    @Test(
        arguments: [
            "read : value=0", "read|write bar=0 offset=0x10..0x1f : xor=0xff", "read register=status nth=3 : ones",
            "write every=2 times=7 : drop", "dma-read address=0x1000..0x1fff chance=0.25 seed=9 : corrupt",
            "dma-read|dma-write : errno=EFAULT", "message vector=1 : repeat=2", "pin value=1 : delay=500us",
            "read way=ring : hold", "doorbell bar=2 : hold", "write value=1 : hold", "write : raise=2047",
            "read : disconnect", "  read   :   and=1  ", "read chance=1 : or=1", "read nth=5 every=2 : value=1",
        ])
    func theseAreRules(text: String) throws {
        #expect(try Rule(text).text == text)
    }

    @Test(
        arguments: [
            ("", 0, "A rule has a ':' between spaces"), ("read", 4, "A rule has a ':'"),
            ("read: value=0", 13, "A rule has a ':'"), (": value=0", 0, "A rule begins with what it alters"),
            ("bar=0 : drop", 0, "can be write, doorbell, dma-write, message, pin"),
            ("read :", 6, "it can be value=N"), ("read : value=0 ones", 15, "make a second rule"),
            ("read : burn", 7, "'burn' is nothing that can be done"), ("read : burn=1", 7, "nothing that can be done"),
            ("read : drop", 7, "'drop' can't be done with 'read'"),
            ("write|message : errno=EIO", 16, "can't be done with 'message'"), ("reset : drop", 8, "'reset'"),
            ("read : errno=EWHAT", 13, "it can be EIO, EINVAL"), ("read : value=x", 13, "'x' is no number"),
            ("read : value=18446744073709551616", 13, "is no number"), ("write : repeat=0", 15, "from 1 to 64"),
            ("write : repeat=65", 15, "from 1 to 64"), ("write : raise=2048", 14, "from 0 to 2047"),
            ("write : delay=1", 14, "no time"), ("write : delay=0ms", 14, "no time"), ("write : delay=61s", 14, "60 s"),
            ("write : delay=18446744073709551615s", 14, "60 s"), ("write : delay=", 14, "no time"),
            ("read nth=0 : ones", 9, "counted from 1"), ("read every=0 : ones", 11, "counted from 1"),
            ("read nth=1 nth=2 : ones", 11, "stands here twice"), ("read chance=0 : ones", 12, "no probability"),
            ("read chance=1.1 : ones", 12, "no probability"), ("read chance=nan : ones", 12, "no probability"),
            ("read  bra=1 : ones", 6, "'bra' is nothing to filter by; it can be bar, offset"),
            ("read nth=1 bra=1 : ones", 11, "nth, every, chance"),
            ("write queue=0 : drop", 6, "'queue=0' never fits write; what can stand there is bar, offset"),
            ("dma-write command=OK_NODATA : drop", 10, "what can stand there is offset, value, address."),
            ("completion queue=0 : drop", 21, "'drop' can't be done with 'completion'; it can with write"),
            ("read value=1 : hold", 15, "before there is a value"),
            ("read value=1 : delay=1ms", 15, "before there is a value"),
            ("write read : drop", 0, "A rule begins with what it alters"),
        ])
    func aWrongOneIsAnsweredWithItsPlaceAndWhatCanStandThere(text: String, position: Int, words: String) {
        let problem = #expect(throws: EventFilter.Problem.self) { try Rule(text) }
        #expect(problem?.position == position)
        #expect(problem?.description.contains(words) == true, "\(problem?.description ?? "")")
    }

    @Test func itsLengthIsBounded() {
        let long = "read name=" + String(repeating: "ä", count: 300) + " : ones"
        #expect(throws: EventFilter.Problem.self) { try Rule(long) }
    }
}
