/// Why a request wasn't fulfilled. RFC 9457
public struct Problem: Codable, Equatable, Error, Sendable {
    /// The HTTP status.
    public var status: Int
    /// What the status is called.
    public var title: String
    /// What programs tell apart.
    public var code: Code
    /// A sentence with the value and the way out.
    public var detail: String

    public init(status: Int, title: String, code: Code, detail: String) {
        self.status = status
        self.title = title
        self.code = code
        self.detail = detail
    }

    public enum Code: String, Codable, CaseIterable, Sendable {
        /// The request makes no sense: a wrong value, two things that exclude each other.
        case invalid
        /// There is no such vGPU, type, parent, domain or path.
        case notFound = "not-found"
        /// It is not in a state in which that can be done, or there is one already.
        case conflict
        /// The parent has not enough left.
        case exhausted
        /// Too many ask at once, or what is asked doesn't answer.
        case busy
        /// It was tried and didn't work.
        case failed
        /// Who asks may not.
        case forbidden
        /// The path has no such method.
        case methodNotAllowed = "method-not-allowed"
        case tooLarge = "too-large"
        case unsupportedMediaType = "unsupported-media-type"
    }

    public static let contentType = "application/problem+json"
}
