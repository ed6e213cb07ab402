import ArgumentParser
import Control
import Injection
import JSON
import Profiles
import Trace

/// `mediated inject`
struct InjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inject",
        abstract: "Alter what passes between a guest and its device, by rules, while it runs.",
        discussion: """
            A rule says before a colon what it is about, as 'mediated trace --only' does, and behind it what becomes of that:

              read register=status nth=3 : value=0xffffffff
              message vector=1 every=2 : drop
              write bar=0 offset=0x10..0x1f chance=0.1 seed=7 : delay=20ms

            It is about one or more of read, write, doorbell, dma-read, dma-write, message and pin. nth=N takes the N-th of \
            those that fit, every=N each N-th, chance=P some of them at random, and times=N so many at most.

            Actions: value=N, and=N, or=N and xor=N change the first eight bytes; ones sets all bits; corrupt turns one over; \
            errno=NAME has an access fail; drop and repeat=N; delay=TIME, such as 20ms; hold, until '--continue' or the limit \
            lets it go; raise=VECTOR sends an interrupt besides; disconnect ends the client's connection.

            The rules hold until they are cleared or the device process ends. What they do is among its events, which \
            'mediated events' prints.
            """)

    @OptionGroup var target: ControlOptions

    @Option(name: .customLong("rule"), help: ArgumentHelp("Have a rule hold; can be given again.", valueName: "rule"))
    var rules: [String] = []

    @Option(help: "Have the rules of a YAML file hold: a list of '- RULE'.", completion: .file())
    var file: String?

    @Option(
        help: ArgumentHelp("How many seconds an access may wait for these rules. [default: 4]", valueName: "seconds"))
    var holdLimit: Double?

    @Flag(help: "Show the rules, what they have met, and what waits.")
    var list = false

    @Option(
        defaultAsFlag: Which.all,
        help: ArgumentHelp("Clear the rule with this number, or all. What waits for it goes on.", valueName: "number"))
    var clear: Which?

    @Option(
        name: .customLong("continue"), defaultAsFlag: Which.all,
        help: ArgumentHelp("Let go on what waits with this number, or all.", valueName: "number"))
    var letGo: Which?

    @Flag(help: "Print JSON: an object.")
    var json = false

    /// One, or all.
    enum Which: ExpressibleByArgument, CustomStringConvertible {
        case one(Int)
        case all

        init?(argument: String) {
            if argument == "all" {
                self = .all
            } else {
                guard let number = Int(argument), number >= 1 else { return nil }
                self = .one(number)
            }
        }

        var number: Int? { if case .one(let number) = self { number } else { nil } }
        var description: String { number.map(String.init) ?? "all" }
    }

    func validate() throws {
        let addsRules = !rules.isEmpty || file != nil
        guard [addsRules, list, clear != nil, letGo != nil].count(where: { $0 }) == 1 else {
            throw ValidationError("Say one thing to do: --rule or --file, --list, --clear, or --continue.")
        }
        if let holdLimit {
            guard addsRules else { throw ValidationError("--hold-limit goes with --rule and --file.") }
            guard (0.001...60).contains(holdLimit) else {
                throw ValidationError("The hold limit is \(holdLimit), but must be from 0.001 to 60 seconds.")
            }
        }
        for rule in rules {
            do throws(EventFilter.Problem) { _ = try Rule(rule) } catch {
                let mark = String(repeating: " ", count: error.position) + "^"
                throw ValidationError("\(error.description)\n  \(rule.printableLine)\n  \(mark)")
            }
        }
    }

    func run() throws {
        let texts = rules + (try file.map(Self.rules(inFile:)) ?? [])
        try target.withClient { client in
            let report: InjectionReport
            if let clear {
                report = try client.inject(.clear(clear.number))
            } else if let letGo {
                report = try client.inject(.letGo(letGo.number))
            } else if list {
                report = try client.inject(.list)
            } else {
                report = try add(texts, client)
            }
            show(report)
        }
    }

    /// All of them, or none.
    private func add(_ texts: [String], _ client: ControlClient) throws -> InjectionReport {
        var added: [Int] = []
        var report = InjectionReport()
        do {
            for text in texts {
                report = try client.inject(.add(rule: text, limit: holdLimit.map { Int($0 * 1000) }))
                if let id = report.done { added.append(id) }
            }
        } catch {
            for id in added { _ = try? client.inject(.clear(id)) }
            throw error
        }
        report.rules.removeAll { !added.contains($0.id) }
        return report
    }

    private static func rules(inFile path: String) throws -> [String] {
        do {
            let file = try RuleFile(readingFile: path)
            for line in file.lines {
                do throws(EventFilter.Problem) { _ = try Rule(line.text) } catch {
                    throw line.error(at: error.position, error.description)
                }
            }
            return file.lines.map(\.text)
        } catch let error as ProfileError {
            throw Failure(error.place == nil ? .noInput : .usage, error.description)
        }
    }

    private func show(_ report: InjectionReport) {
        if json, let json = try? JSON(encoding: report) { return Output.print(json: json) }
        if letGo != nil { return Output.print("\(report.done ?? 0) went on.") }
        if clear != nil, report.rules.isEmpty { return }
        if report.rules.isEmpty { return Output.print("No rule holds.") }
        Output.print(
            ([["RULE", "MET", "ALTERED", "WHAT"]]
                + report.rules.map { ["\($0.id)", "\($0.met)", "\($0.altered)", $0.rule] }).columns())
        guard !report.waiting.isEmpty else { return }
        Output.print("")
        Output.print(
            ([["WAITS", "RULE", "AT MOST", "WHAT"]]
                + report.waiting.map { ["\($0.id)", "\($0.rule)", "\($0.milliseconds) ms", $0.what] }).columns())
    }
}
