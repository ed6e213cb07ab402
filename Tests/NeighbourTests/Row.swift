import Foundation

/// A line of the table of what came of the attacks.
struct Row {
    let name: String
    let before: VirtualGPU.Usage
    let after: VirtualGPU.Usage
    /// How often the attacked process's owner was answered meanwhile.
    let answers: Int
    /// The neighbour beside an ordinary client, and beside the attack.
    let ordinary: SteadyClient.Report
    let hostile: SteadyClient.Report

    /// By what factor the attack made the neighbour slower, in the middle or at the slow end.
    var slowdown: Double {
        [50, 99].map { percent in
            Double(hostile.percentile(percent)) / max(1, Double(ordinary.percentile(percent)))
        }.max() ?? 0
    }

    private static let heading: Void = write(
        """
        neighbour: a write's time in microseconds, beside an ordinary client and beside the attack; the attacked process's \
        memory in KiB, before and after
        neighbour:   ordinary p50     p99    attack p50     p99    before   after  answers  attack
        """)

    /// At once, below a heading.
    func print() {
        Self.heading
        let times = [(ordinary, 50), (ordinary, 99), (hostile, 50), (hostile, 99)].map { report, percent in
            Double(report.percentile(percent)) / 1000
        }
        Self.write(
            String(format: "neighbour: %14.1f %7.1f %13.1f %7.1f", times[0], times[1], times[2], times[3])
                + String(format: " %9d %7d %8d  ", before.memory >> 10, after.memory >> 10, answers) + name)
    }

    private static func write(_ text: String) {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }
}
