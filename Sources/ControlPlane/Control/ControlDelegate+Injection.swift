import Injection
import JSON
import Linux
import Trace

/// Rules that alter what passes. They are there as long as the process is: whoever made them may be gone.
extension ControlDelegate {
    func inject(_ request: InjectionRequest) throws -> ControlReply {
        do {
            return ControlReply(try JSON(encoding: try change(request)))
        } catch let error as InjectionError {
            throw ControlError(.rule, error.description)
        }
    }

    private func change(_ request: InjectionRequest) throws -> InjectionReport {
        let injector = function.host.alterer as? Injector
        var done: Int?
        switch request {
        case .list: break
        case .add(let rule, let limit): return try add(rule, limit ?? InjectionRequest.standardLimit)
        case .clear(let id):
            try (injector ?? newInjector()).clear(id)
            events.append(.modified, id.map { "Rule \($0) was cleared." } ?? "All rules were cleared.")
            if injector?.isEmpty == true { function.host.alterer = nil }
        case .letGo(let id): done = try (injector ?? newInjector()).letGo(id)
        }
        var report = injector?.report ?? InjectionReport()
        report.done = done
        return report
    }

    /// - Parameter limit: in milliseconds.
    private func add(_ text: String, _ limit: Int) throws -> InjectionReport {
        let rule: Rule
        do throws(EventFilter.Problem) { rule = try Rule(text) } catch {
            throw ControlError(.rule, "At character \(error.position + 1) of the rule: \(error.description)")
        }
        let injector = try function.host.alterer as? Injector ?? newInjector()
        let id = try injector.add(rule, limit: UInt64(limit) * 1_000_000)
        function.host.alterer = injector
        events.append(.modified, "Rule \(id) alters what passes from now on: '\(text)'.")
        var report = injector.report
        report.done = id
        return report
    }

    private func newInjector() throws -> Injector {
        guard function.host.alterer == nil else {
            throw ControlError(.failed, "Another than the control socket alters what passes.")
        }
        let names = RegisterNames(function.type.registers, configuration: function.configurationBytes)
        let injector = try Injector(function.host, names)
        injector.onAlteration = { [events] in events.append(.altered, $0) }
        return injector
    }
}
