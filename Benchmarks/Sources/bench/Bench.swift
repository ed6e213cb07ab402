import Glibc
import JSON
import Linux

/// Measures what this project adds to what the kernel costs anyway. See RESULTS.md for how to read the table.
@main
struct Bench {
    /// How many stand before the read that closes them. They fit into the socket's buffer.
    private static let postedWrites = 100
    private let program: String
    private var results: [Result] = []

    static func main() throws {
        let program = CommandLine.arguments.dropFirst().first ?? ".build/release/mediated-device"
        guard access(program, X_OK) == 0 else {
            print("usage: bench [PATH OF mediated-device]; there is none at '\(program)': build it first.")
            exit(64)
        }
        var bench = Bench(program: program)
        try bench.run()
    }

    private init(program: String) {
        self.program = program
    }

    private mutating func run() throws {
        print(Result.heading)
        // First, as long as this process, whose processors a new one inherits, may run on all.
        try measureStart()
        try measureSmallAccesses()
        try measureBulk()
        add(try LookUps.compare())
        let file = try FileReplacement(path: "Benchmarks/results.json")
        try file.descriptor.writeAll(Array(JSON.array(results.map(\.json)).prettyText.utf8).span.bytes)
        try file.commit()
    }

    private mutating func add(_ result: Result) {
        print(result.row)
        fflush(nil)
        results.append(result)
    }

    private mutating func measureSmallAccesses() throws {
        let exerciser = try DeviceUnderTest("exerciser", program: program)
        for (place, processors) in [("one processor", (Int32(0), Int32(0))), ("two processors", (0, 1))] {
            add(
                try Exchange.read(region: 0, offset: 4, count: 4).compare(
                    "Register read, 4 bytes, \(place)", with: exerciser, times: 2000, processors: processors, aim: 1.05)
            )
            add(
                try Exchange.write(region: 0, offset: 4, count: 4).compare(
                    "Register write, 4 bytes, \(place)", with: exerciser, times: 2000, processors: processors,
                    aim: 1.05))
            add(
                try Exchange.postedWrites(Self.postedWrites, region: 0, offset: 4).compare(
                    "Posted write, \(place)", with: exerciser, times: 100, divisor: Self.postedWrites,
                    processors: processors, aim: 1.1))
        }
    }

    /// Mapped memory, when it is read and written by messages all the same.
    private mutating func measureBulk() throws {
        let display = try DeviceUnderTest("bochs-display", program: program)
        for (size, text) in [(64 << 10, "64 KiB"), (1 << 20, "1 MiB")] {
            for (exchange, what) in [
                (Exchange.read(region: 0, offset: 0, count: size), "Read"),
                (Exchange.write(region: 0, offset: 0, count: size), "Write"),
            ] {
                add(
                    try exchange.compare(
                        "\(what) of mapped memory, \(text), two processors", with: display, times: 20,
                        processors: (0, 1), aim: nil))
            }
        }
    }

    private mutating func measureStart() throws {
        var times: [Double] = []
        for _ in 0..<40 {
            times.append(Double(try DeviceUnderTest("exerciser", program: program).startNanoseconds) / 1e6)
        }
        add(
            Result(name: "Start of a device process, to its first connection", unit: "ms", value: median(times), aim: 5)
        )
        let device = try DeviceUnderTest("exerciser", program: program)
        try addMemory(of: device, "with an idle client")
        _ = try Exchange.read(region: 0, offset: 4, count: 4).measure(device.connection.raw, times: 100_000)
        try addMemory(of: device, "after 100,000 reads")
    }

    private mutating func addMemory(of device: DeviceUnderTest, _ when: String) throws {
        for field in ["Rss", "Pss"] {
            add(
                Result(
                    name: "\(field.uppercased()) of a device process, \(when)", unit: "MB",
                    value: try device.memory(field) * 1024 / 1e6, aim: 10))
        }
    }
}
