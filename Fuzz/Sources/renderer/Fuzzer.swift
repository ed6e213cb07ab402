import FuzzSupport

/// One for the whole run, as it takes a process to make one; libFuzzer has one thread.
private nonisolated(unsafe) let worker = try? HostileWorker()

private func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    guard let worker else { fuzzFailed("The device process's end could not be made.") }
    var input = Input(start, count)
    do {
        switch input.byte() & 3 {
        case 0: try HostileDeviceProcess.run(&input)
        case 1: HostileDeviceProcess.readCommand(&input)
        default: try worker.run(&input)
        }
    } catch {
        fuzzFailed("What an honest end does failed: \(error)")
    }
}

@main
enum Fuzzer {
    static func main() {
        runFuzzer { start, count in
            fuzz(start, count)
            return 0
        }
    }
}
