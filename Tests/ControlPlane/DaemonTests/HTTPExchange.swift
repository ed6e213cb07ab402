import Glibc
import JSON
import Linux

/// One request and its answer, over a connection of its own.
struct HTTPExchange: CustomStringConvertible {
    struct Failure: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    let status: Int
    /// By name in lower case.
    let headers: [String: String]
    let body: [UInt8]

    var json: JSON { (try? JSON(parsing: body)) ?? .null }
    var text: String { String(decoding: body, as: UTF8.self) }
    /// The sentence of a problem.
    var detail: String { json["detail"]?.string ?? "" }
    var description: String { "\(status) \(text)" }

    init(
        _ method: String, _ path: String, body: [UInt8]? = nil, contentType: String? = nil, over socket: String
    ) throws {
        var head = "\(method) \(path) HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        if let contentType { head += "content-type: \(contentType)\r\n" }
        if let body { head += "content-length: \(body.count)\r\n" }
        try self.init(Array((head + "\r\n").utf8) + (body ?? []), over: socket)
    }

    /// Sends bytes, and reads what comes back until the server closes.
    init(_ bytes: [UInt8], over socket: String) throws {
        let connection = try UnixSocket(connectingTo: socket, within: .seconds(10))
        // A server may answer and close before it has read everything.
        try? connection.send(bytes.span.bytes, within: .seconds(10))
        try self.init(answerOf: connection)
    }

    init(answerOf connection: borrowing UnixSocket) throws {
        var answer: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while try connection.waitReadable(within: .seconds(90)) {
            guard let count = try? connection.descriptor.read(into: buffer), count > 0 else { break }
            answer += buffer[..<count]
        }
        let end: [UInt8] = Array("\r\n\r\n".utf8)
        guard let split = answer.indices.first(where: { answer[$0...].starts(with: end) }) else {
            throw Failure("no answer: \(String(decoding: answer.prefix(200), as: UTF8.self))")
        }
        let lines = String(decoding: answer[..<split], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count > 1, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
            throw Failure("no status: \(lines)")
        }
        self.status = status
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1)
            headers[sides[0].lowercased()] = sides.count > 1 ? String(sides[1].drop { $0 == " " }) : ""
        }
        self.headers = headers
        body = Array(answer[(split + end.count)...])
    }
}
