import Glibc
import Linux

/// What three who watch a busy device cost those whom it answers: the slowest in a thousand accesses, with them and
/// without, by turns in one run. One records, two trace, and one of these is stopped.
struct Watched {
    let program: String
    var rounds = 6
    /// How long each half of a round takes, about, in nanoseconds.
    private static let length = 5e9

    func compare() throws -> Result {
        let device = try DeviceUnderTest("exerciser", program: program)
        let read = Exchange.read(region: 0, offset: 4, count: 4)
        let times = max(1000, Int(Self.length / Double(median(try read.measure(device.socket, times: 1000)))))
        var (values, floors): ([Double], [Double]) = ([], [])
        for _ in 0..<rounds {
            floors.append(Self.slowest(try read.measure(device.socket, times: times)))
            let watchers = try Watchers(of: device.path, program)
            values.append(Self.slowest(try read.measure(device.socket, times: times)))
            watchers.end()
        }
        return Result(
            name: "The slowest in a thousand register reads, watched by three; floor: by nobody", unit: "ns",
            value: median(values), floor: median(floors), ratio: median(zip(values, floors).map { $0 / $1 }))
    }

    /// The 99.9th percentile.
    private static func slowest(_ times: [UInt32]) -> Double {
        Double(times.sorted()[times.count - 1 - times.count / 1000])
    }
}

/// The three.
private struct Watchers {
    private let processes: [Int32]
    private let file: String

    /// - Parameter program: the device's; `mediated` lies beside it.
    init(of socket: String, _ program: String) throws {
        let folder = program.lastIndex(of: "/").map { program[...$0] } ?? ""
        file = socket + ".pcapng"
        var processes: [Int32] = []
        for (arguments, sign) in [
            (["record", socket, file, "--replace"], "is recorded in"),
            (["trace", socket, "--summary"], "can't be seen"), (["trace", socket, "--summary"], "can't be seen"),
        ] {
            processes.append(try Self.start(folder + "mediated", arguments, until: sign))
        }
        kill(processes[2], SIGSTOP)
        self.processes = processes
    }

    /// Returns when it has said that it watches. What it says later nobody hears.
    private static func start(_ program: String, _ arguments: [String], until sign: String) throws -> Int32 {
        let pipe = try PipeEnds(blocks: true)
        let reader = pipe.reader
        let writer = pipe.writer
        let process = try ChildProcess.spawn(program, arguments, passing: [], standardError: writer.raw)
        _ = consume writer
        var said: [UInt8] = []
        while !String(decoding: said, as: UTF8.self).contains(sign) {
            let more = try reader.readBytes(upTo: 1)
            guard !more.isEmpty else { throw Errno.brokenPipe }
            said += more
        }
        return process
    }

    func end() {
        kill(processes[2], SIGCONT)
        for process in processes {
            kill(process, SIGINT)
            _ = ChildProcess.awaitEnd(of: process)
        }
        unlink(file)
    }
}
