import FakeGuest
import Testing

extension Trait where Self == ConditionTrait {
    /// Not with an observer before the server: the test is about who connects, what is left in the socket, or a message
    /// that has come in part.
    static var unobserved: Self { .disabled(if: ObservedServer.isWanted, "An observer stands in between.") }
}
