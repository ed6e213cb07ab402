import FuzzSupport

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzzRegisters(of: "serial", start, count)
            return 0
        }
    }
}
