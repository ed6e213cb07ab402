/// Why something couldn't be done, for whoever asked for it.
public struct MediationError: Error, Equatable, CustomStringConvertible {
    public enum Code: String, Codable, Sendable {
        /// What was asked for makes no sense: a wrong value, two things that exclude each other.
        case invalid
        /// There is no such vGPU, type, parent or domain.
        case notFound = "not-found"
        /// It is not in a state in which that can be done, or there is one already.
        case conflict
        /// The parent has not enough left.
        case exhausted
        /// Too many ask at once, or what is asked doesn't answer.
        case busy
        /// It was tried and didn't work.
        case failed
    }

    public var code: Code
    /// A sentence with the value and the way out.
    public var description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
