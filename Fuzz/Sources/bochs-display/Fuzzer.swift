import FuzzSupport

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzzRegisters(of: "bochs-display", start, count)
            return 0
        }
    }
}
