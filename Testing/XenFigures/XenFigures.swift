import Foundation
import Lab

/// Boots Xen, has XenProbe measure there what an access costs, and prints its figures. `make xen-figures`
@main
enum XenFigures {
    static func main() throws {
        let machine = try XenMachine(.debian13, with: ["XenProbe", "XenFloor", "mediated-device"])
        let paths = try ["XenProbe", "mediated-device", "XenFloor"].map(XenMachine.path)
        let outcome = try machine.run("\(paths[0]) figures \(paths[1]) \(paths[2])") { line in
            if line.hasPrefix("figure ") { print(line.dropFirst("figure ".count)) }
        }
        guard outcome.status == 0 else { throw GuestError("\(outcome.output) \(machine.console)") }
    }
}
