import CFloor
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
        for result in try MapPairs(program: program).compareAll() { add(result) }
        add(try LookUps.compare())
        add(try Counting(program: program).compare())
        add(try Recording().measure())
        add(try Watched(program: program, rounds: isQuick ? 1 : 6).compare())
        add(try Copies.compare())
        try measureCrowds()
        try draw()
        try write(JSON.array(results.map(\.json)).prettyText, to: "Benchmarks/results.json")
        if !isQuick { try write(try report(), to: "Benchmarks/RESULTS.md") }
    }

    /// The report as it is, with these results in the place of its first table.
    private func report() throws -> String {
        let text = String(
            decoding: try Descriptor(reading: "Benchmarks/RESULTS.md").readBytes(upTo: 1 << 20), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let start = lines.firstIndex(where: { $0.hasPrefix("| |") }) else { return text }
        let rest = lines[start...].drop { $0.hasPrefix("|") }
        let table = Result.heading.split(separator: "\n").map(String.init) + results.map(\.row)
        return (lines[..<start] + table + rest).joined(separator: "\n")
    }

    private func write(_ text: String, to path: String) throws {
        let file = try FileReplacement(path: path)
        try file.descriptor.writeAll(Array(text.utf8).span.bytes)
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
        for place in Place.allCases {
            let aim = place == .oneProcessor ? 1.05 : 0.45
            try compare("Register read, 4 bytes", .read(region: 0, offset: 4, count: 4), place, aim: aim)
            try compare("Register write, 4 bytes", .write(region: 0, offset: 4, count: 4), place, aim: aim)
            try compare(
                "Posted write", .postedWrites(Self.postedWrites, region: 0, offset: 4), place,
                divisor: Self.postedWrites, aim: 1.1)
        }
        let read = Exchange.read(region: 0, offset: 4, count: 4)
        add(
            try Turns(exchange: read, processors: Place.oneProcessor.processors).compare(
                "The floor with room for descriptors, 4 bytes, one processor", aim: nil
            ) { try read.floor(floor_takes_descriptors) })
        try compare(
            "Register read, 32 deep", read.pipelined(32), .twoProcessors,
            divisor: 32, aim: nil)
    }

    /// Mapped memory, when it is read and written by messages all the same.
    private mutating func measureBulk() throws {
        for place in Place.allCases {
            for (size, text) in [(4 << 10, "4 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")] {
                let aim = size == 1 << 20 ? place == .oneProcessor ? 1 / 0.9 : 1 / 0.95 : nil
                try compare(
                    "Read of mapped memory, \(text)", .read(region: 0, offset: 0, count: size), place,
                    type: "bochs-display", aim: aim)
                try compare(
                    "Write of mapped memory, \(text)", .write(region: 0, offset: 0, count: size), place,
                    type: "bochs-display", aim: aim)
            }
        }
    }

    private mutating func compare(
        _ name: String, _ exchange: Exchange, _ place: Place, type: String = "exerciser", divisor: Int = 1, aim: Double?
    ) throws {
        let turns = Turns(exchange: exchange, processors: place.processors)
        add(
            try turns.compare("\(name), \(place.name)", divisor: divisor, aim: aim) {
                try DeviceUnderTest(type, program: program)
            })
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
