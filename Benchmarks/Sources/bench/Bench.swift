import Glibc
import JSON
import Linux

/// Measures what this project adds to what the kernel costs anyway. See RESULTS.md for how to read the table.
@main
struct Bench {
    /// How many stand before the read that closes them. They fit into the socket's buffer.
    private static let postedWrites = 100
    private let program: String
    /// Fewer devices in a crowd.
    private let isQuick: Bool
    private var results: [Result] = []

    static func main() throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        if arguments.first == "--compare", arguments.count == 2 { return try Comparison(path: arguments[1]).run() }
        let isQuick = arguments.first == "--quick"
        if isQuick { arguments.removeFirst() }
        let program = arguments.first ?? ".build/release/mediated-device"
        guard arguments.count <= 1, access(program, X_OK) == 0 else {
            print(
                """
                usage: bench [--quick] [PATH OF mediated-device]   measures everything; with no path, \(program)
                       bench --compare SOCKET                      measures any vfio-user server that is running
                There is no program at '\(program)', or the arguments are none of these.
                """)
            exit(64)
        }
        var bench = Bench(program: program, isQuick: isQuick)
        try bench.run()
    }

    private init(program: String, isQuick: Bool) {
        self.program = program
        self.isQuick = isQuick
    }

    private mutating func run() throws {
        print(Result.heading)
        // First, as long as this process, whose processors a new one inherits, may run on all.
        try measureStart()
        try measureSmallAccesses()
        try measureBulk()
        try measureWays()
        for result in try MapPairs(program: program).compare([0, 16, 1024, 65_534]) { add(result) }
        add(try LookUps.compare())
        add(try Counting(program: program).compare())
        add(try Copies.compare())
        try measureCrowds()
        try draw()
        let file = try FileReplacement(path: "Benchmarks/results.json")
        try file.descriptor.writeAll(Array(JSON.array(results.map(\.json)).prettyText.utf8).span.bytes)
        try file.commit()
    }

    /// Every way from a client, or from inside a guest, to a register.
    private mutating func measureWays() throws {
        add(try TypedAccesses.comparePollingFloor())
        for place in Place.allCases {
            for usesRing in [false, true] {
                for result in try TypedAccesses(program: program).compare(place, usesRing: usesRing) { add(result) }
            }
            add(try InterruptLatency(program: program).compare(place))
        }
        for result in try KVMAccesses(program: program).compareAll() { add(result) }
        Floor.unpin()
    }

    private mutating func measureCrowds() throws {
        Floor.unpin()
        for result in try Crowd(program: program).busy([1, 4, 16, 64]) { add(result) }
        for result in try Crowd(program: program).idle(isQuick ? 50 : 1000) { add(result) }
    }

    private func draw() throws {
        try Chart(title: "Time as a multiple of the floor, logarithmic; black: the aim", results: results)
            .write(to: "Benchmarks/ratios.svg")
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
        for (size, text) in [(4 << 10, "4 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")] {
            for (exchange, what) in [
                (Exchange.read(region: 0, offset: 0, count: size), "Read"),
                (Exchange.write(region: 0, offset: 0, count: size), "Write"),
            ] {
                add(
                    try exchange.compare(
                        "\(what) of mapped memory, \(text), two processors", with: display, times: 20,
                        processors: (0, 1), aim: size == 1 << 20 ? 1 / 0.95 : nil))
            }
        }
        let exerciser = try DeviceUnderTest("exerciser", program: program)
        add(
            try Exchange.read(region: 0, offset: 4, count: 4).pipelined(32).compare(
                "Register read, 32 deep, two processors", with: exerciser, times: 200, divisor: 32,
                processors: (0, 1), aim: nil))
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
