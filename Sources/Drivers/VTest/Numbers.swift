/// Numbers from 1 on. One that was given back is taken again before there is a new one, the oldest first.
struct Numbers {
    private var next: UInt32 = 1
    private var free: [UInt32] = []

    /// How many are taken.
    var count: Int { Int(next) - 1 - free.count }

    mutating func take() -> UInt32 {
        guard free.isEmpty else { return free.removeFirst() }
        defer { next += 1 }
        return next
    }

    mutating func giveBack(_ number: UInt32) { free.append(number) }
}
