import Mediation
import PCI
import SeededRandom
import XenSlot

/// Random changes of a store, the same ones for the same seed, and what is in the store after each.
public struct ChangeSequence {
    /// How many changes there were.
    public private(set) var serial = 0
    public private(set) var instances: [Instance] = []
    /// Numbered.
    public private(set) var entries: [JournalEntry] = []
    public private(set) var boot: String?
    private var random: SplitMix

    public init(seed: UInt64) {
        random = SplitMix(seed: seed)
    }

    /// Each change touches one to four instances, and says so in one entry for each, which holds the change's serial
    /// number.
    public mutating func next() -> StoreChange {
        serial += 1
        var change = StoreChange()
        var untouched = instances.map(\.id)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            // About a dozen instances at a time.
            let action = untouched.isEmpty ? 0 : Int.random(in: 0..<12 + instances.count, using: &random)
            switch action {
            case 0..<8: change.saved.append(define())
            case 8..<16:
                let id = untouched.remove(at: Int.random(in: 0..<untouched.count, using: &random))
                change.saved.append(modify(id))
            default:
                let id = untouched.remove(at: Int.random(in: 0..<untouched.count, using: &random))
                change.removed.append(id)
                instances.removeAll { $0.id == id }
            }
        }
        for id in change.saved.map(\.id) + change.removed {
            change.entries.append(
                JournalEntry(time: Double(serial), instance: id, kind: "changed", message: "\(serial)"))
        }
        for var entry in change.entries {
            entry.number = entries.count + 1
            entries.append(entry)
        }
        if Int.random(in: 0..<8, using: &random) == 0 {
            change.boot = "boot \(serial)"
            boot = change.boot
        }
        return change
    }

    private mutating func define() -> Instance {
        let instance = vary(Instance(id: id(), parent: "cpu", type: "serial"))
        instances.append(instance)
        return instance
    }

    private mutating func modify(_ id: InstanceID) -> Instance {
        for index in instances.indices where instances[index].id == id {
            instances[index] = vary(instances[index])
            return instances[index]
        }
        return define()
    }

    private mutating func id() -> InstanceID {
        let digits = Array(String(random.next() | 1 << 63, radix: 16) + String(random.next() | 1 << 63, radix: 16))
        let groups = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }
        return InstanceID(groups.joined(separator: "-")) ?? InstanceID()
    }

    private mutating func vary(_ instance: Instance) -> Instance {
        var instance = instance
        instance.type = Bool.random(using: &random) ? "serial" : "bochs-display"
        instance.isAutostarted = Bool.random(using: &random)
        instance.isDefined = Bool.random(using: &random)
        instance.restarts = Int.random(in: 0..<9, using: &random)
        instance.attributes = (0..<Int.random(in: 0..<6, using: &random)).map { _ in
            Attribute("name-\(random.next() % 8)", String(repeating: "'; -- ä", count: Int(random.next() % 40)))
        }
        let isOwned = Bool.random(using: &random)
        instance.owner = isOwned ? Instance.Owner(user: number(), group: number()) : nil
        let isRunning = Bool.random(using: &random)
        instance.state = isRunning ? .running : .stopped
        instance.process =
            isRunning
            ? ProcessIdentity(id: Int32(random.next() % 1 << 22), startTime: random.next(), boot: "boot") : nil
        instance.aperture = number().map { Int($0) }
        instance.slot = number().flatMap { number in
            FunctionAddress(bus: UInt8(truncatingIfNeeded: number), device: UInt8(number >> 27)).map {
                DomainSlot(domain: UInt16(truncatingIfNeeded: number >> 8), address: $0)
            }
        }
        return instance
    }

    private mutating func number() -> UInt32? {
        Bool.random(using: &random) ? UInt32(truncatingIfNeeded: random.next()) : nil
    }
}
