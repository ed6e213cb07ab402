import Linux
import Testing

@Suite struct SpinBudgetTests {
    private struct Never: Error {}

    /// How often a wait that is in vain asks.
    private func asks(_ budget: inout SpinBudget, in waits: Int) -> [Bool] {
        (0..<waits).map { _ in
            var hasAsked = false
            _ = budget.wait {
                hasAsked = true
                return false
            }
            return hasAsked
        }
    }

    @Test func waitsInVainAreTriedMoreAndMoreRarely() {
        var budget = SpinBudget()
        let tries = asks(&budget, in: 5000).enumerated().filter(\.element).map(\.offset)
        let gaps = zip(tries, tries.dropFirst()).map { $1 - $0 }
        #expect(gaps.prefix(5) == [2, 3, 5, 9, 17])
        #expect(gaps.max() == 1025)
    }

    @Test func whatComesWhileAskingIsWaitedForAgain() {
        var budget = SpinBudget()
        _ = asks(&budget, in: 100)
        var left = 3
        while !budget.wait(until: {
            left -= 1
            return left < 0
        }) {}
        #expect(asks(&budget, in: 2) == [true, false])
    }

    @Test func whatIsThereAlreadyTeachesNothing() {
        var budget = SpinBudget()
        _ = asks(&budget, in: 14)
        // The next wait but one is due; it has nothing to wait for.
        while !budget.wait(until: { true }) {}
        let tries = asks(&budget, in: 40).enumerated().filter(\.element).map(\.offset)
        #expect(tries == [0, 17])
    }

    @Test func errorsComeOut() {
        var budget = SpinBudget()
        #expect(throws: Never.self) { try budget.wait { () throws(Never) in throw Never() } }
    }
}
