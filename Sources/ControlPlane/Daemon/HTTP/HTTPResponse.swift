import DaemonAPI
import JSON
import NIOHTTP1

/// An answer, whole.
struct HTTPResponse: Sendable {
    var status = HTTPResponseStatus.ok
    var contentType: String?
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []

    /// A value as JSON.
    init(_ value: some Encodable, status: HTTPResponseStatus = .ok) throws(Problem) {
        do throws(JSONError) {
            self.init(try JSON(encoding: value), status: status)
        } catch {
            throw Problem(.internalServerError, .failed, "The answer can't be put into words: \(error)")
        }
    }

    init(_ json: JSON, status: HTTPResponseStatus = .ok, contentType: String = "application/json") {
        self.status = status
        self.contentType = contentType
        body = Array((json.text + "\n").utf8)
    }

    init(_ problem: Problem) {
        // Its members are plain; there is nothing that could fail.
        let json = (try? JSON(encoding: problem)) ?? .null
        self.init(
            json, status: HTTPResponseStatus(statusCode: problem.status), contentType: Problem.contentType)
    }

    init(contentType: String, body: [UInt8]) {
        self.contentType = contentType
        self.body = body
    }

    /// Done, and nothing to say.
    static let noContent = HTTPResponse(empty: .noContent)

    private init(empty status: HTTPResponseStatus) {
        self.status = status
    }
}

extension Problem {
    init(_ status: HTTPResponseStatus, _ code: Code, _ detail: String) {
        self.init(status: Int(status.code), title: status.reasonPhrase, code: code, detail: detail)
    }
}
