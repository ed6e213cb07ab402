import Foundation

/// A line of the table of what came of the attacks.
struct Row: CustomStringConvertible {
    let name: String
    let before: VirtualGPU.Usage
    let after: VirtualGPU.Usage
    /// How often the attacked process's owner was answered meanwhile.
    let answers: Int
    /// The neighbour before the attack, and meanwhile.
    let alone: SteadyClient.Report
    let under: SteadyClient.Report

    /// Printed once, before the first row.
    static let heading: Void = print(
        """
        neighbour: a write's time in microseconds, alone and meanwhile; the attacked process's memory in KiB, before and \
        after
        neighbour:  alone p50     p99   under p50     p99    before   after  answers  attack
        """)

    var description: String {
        let times = [(alone, 50), (alone, 99), (under, 50), (under, 99)].map { report, percent in
            Double(report.percentile(percent)) / 1000
        }
        return String(format: "neighbour: %10.1f %7.1f %11.1f %7.1f", times[0], times[1], times[2], times[3])
            + String(format: " %9d %7d %8d  ", before.memory >> 10, after.memory >> 10, answers) + name
    }
}
