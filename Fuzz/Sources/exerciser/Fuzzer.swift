import FuzzSupport

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzzRegisters(of: "exerciser", start, count)
            return 0
        }
    }
}
