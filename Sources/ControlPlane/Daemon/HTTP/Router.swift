import DaemonAPI
import NIOHTTP1

/// Which handler answers what. The table in ``Router/init(_:)`` is what Documentation/openapi.yaml describes.
struct Router: Sendable {
    typealias Handler = @Sendable (_ request: HTTPRequest, _ parameters: [String]) async throws(Problem) -> HTTPResponse

    struct Route: Sendable {
        let method: HTTPMethod
        /// Words, and `{name}` where anything may stand.
        let pattern: String
        /// The parameters that the query may have.
        let query: Set<String>
        let handler: Handler

        init(_ method: HTTPMethod, _ pattern: String, query: Set<String> = [], _ handler: @escaping Handler) {
            self.method = method
            self.pattern = pattern
            self.query = query
            self.handler = handler
        }

        /// What stands in the pattern's places; nil when the path is another one.
        func parameters(of path: [String]) -> [String]? {
            let words = pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            guard words.count == path.count else { return nil }
            var parameters: [String] = []
            for (word, part) in zip(words, path) {
                if word.hasPrefix("{") {
                    parameters.append(part)
                } else if word != part {
                    return nil
                }
            }
            return parameters
        }
    }

    let routes: [Route]

    init(_ routes: [Route]) {
        self.routes = routes
    }

    func respond(to request: HTTPRequest) async throws(Problem) -> HTTPResponse {
        let matching = routes.compactMap { route in
            route.parameters(of: request.path).map { (route: route, parameters: $0) }
        }
        guard !matching.isEmpty else {
            throw Problem(.notFound, .notFound, "There is nothing at '/\(request.path.joined(separator: "/"))'.")
        }
        let method = request.method == .HEAD ? .GET : request.method
        guard let match = matching.first(where: { $0.route.method == method }) else {
            let allowed = Set(matching.map(\.route.method.rawValue)).sorted().joined(separator: ", ")
            var response = HTTPResponse(
                Problem(
                    .methodNotAllowed, .methodNotAllowed,
                    "The method is \(request.method.rawValue), but here it can be \(allowed)."))
            response.headers.append((name: "allow", value: allowed))
            return response
        }
        if let unknown = request.query.keys.first(where: { !match.route.query.contains($0) }) {
            let known = match.route.query.sorted().joined(separator: ", ")
            throw Problem(
                .badRequest, .invalid,
                "The query has a parameter '\(unknown)', but can have \(known.isEmpty ? "none" : "only \(known)").")
        }
        return try await match.route.handler(request, match.parameters)
    }
}
