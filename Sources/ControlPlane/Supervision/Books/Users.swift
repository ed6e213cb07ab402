import Linux
import Mediation

/// The users under which device processes run, each under one of its own.
final class Users: Sendable {
    private let range: Range<UInt32>?
    private let taken = Taken()

    fileprivate final class Taken: Sendable {
        let counts = Locked<[UInt32: Int]>([:])
    }

    /// - Parameter range: nil: all run as the daemon's user, who isn't root.
    init(_ range: Range<UInt32>?) { self.range = range }

    /// A user who is one process's, until it is given back, or nobody knows of it any more.
    final class Lease: Sendable {
        let user: UInt32
        private let taken: Taken
        private let isOver = Locked(false)

        fileprivate init(_ user: UInt32, of taken: Taken) {
            self.user = user
            self.taken = taken
        }

        deinit { giveBack() }

        /// When the process is gone.
        func giveBack() {
            guard end() else { return }
            taken.counts.withLock { counts in
                let count = counts[user, default: 1] - 1
                counts[user] = count > 0 ? count : nil
            }
        }

        /// When nobody will ever know whether the process is gone: the user is its own as long as this daemon runs.
        func keep() { _ = end() }

        /// - Returns: false when it was over before.
        private func end() -> Bool {
            isOver.withLock { isOver in
                defer { isOver = true }
                return !isOver
            }
        }
    }

    /// A user whom no other device process has: the same for the same vGPU, as far as possible, and others than another
    /// daemon's on this host.
    ///
    /// - Returns: nil where all run as the daemon's user.
    /// - Throws: ``MediationError/Code/exhausted`` when each has a process.
    func lease(for id: InstanceID) throws(MediationError) -> Lease? {
        guard let range else { return nil }
        // FNV-1a
        let hash = "\(id)".utf8.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        let free = taken.counts.withLock { counts -> UInt32? in
            guard !range.isEmpty else { return nil }
            let first = Int(hash) % range.count
            let user = (0..<range.count).lazy.map { range.lowerBound + UInt32((first + $0) % range.count) }
                .first { counts[$0] == nil }
            if let user { counts[user] = 1 }
            return user
        }
        guard let free else {
            throw MediationError(
                .exhausted, "Each of the \(range.count) users for device processes has one. Stop another vGPU.")
        }
        return Lease(free, of: taken)
    }

    /// The lease of a user whom a process has that an earlier manager has started; nil for one who is none of these.
    func lease(of user: UInt32) -> Lease? {
        guard range?.contains(user) == true else { return nil }
        taken.counts.withLock { $0[user, default: 0] += 1 }
        return Lease(user, of: taken)
    }
}
