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

    static let heading = String(
        format: "%-46@ %15@ %15@ %17@ %9@", "attack" as NSString, "alone p50/p99 us" as NSString,
        "under p50/p99 us" as NSString, "memory before/after" as NSString, "answers" as NSString)

    var description: String {
        String(
            format: "%-46@ %7.1f %7.1f %7.1f %7.1f %8d %8d KiB %7d", name as NSString, microseconds(alone, 50),
            microseconds(alone, 99), microseconds(under, 50), microseconds(under, 99), before.memory >> 10,
            after.memory >> 10, answers)
    }

    private func microseconds(_ report: SteadyClient.Report, _ percent: Int) -> Double {
        Double(report.percentile(percent)) / 1000
    }
}
