import Mediation
public final class InstanceStore: Store { public init(path: String) throws {}
 public func instances() throws -> [Instance] { [] }
 public func lastBoot() throws -> String? { nil }
 public func commit(_ change: StoreChange) throws -> [JournalEntry] { change.entries }
 public func journal(after number: Int, instance: InstanceID?, limit: Int) throws -> [JournalEntry] { [] } }
