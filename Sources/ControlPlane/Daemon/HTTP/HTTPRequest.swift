import DaemonAPI
import JSON
import NIOCore
import NIOHTTP1

/// A request, whole.
struct HTTPRequest: Sendable {
    let method: HTTPMethod
    /// What lies between the slashes of the path, as it was before percent-encoding. RFC 3986, section 3.3
    let path: [String]
    /// Of parameters of the same name the last one counts.
    let query: [String: String]
    /// The media type without parameters, in lower case; nil when there is none.
    let contentType: String?
    let body: [UInt8]

    /// - Throws: ``Problem`` for a target that is no path.
    init(_ full: NIOHTTPServerRequestFull) throws(Problem) {
        method = full.head.method
        let target = full.head.uri.utf8
        guard target.first == UInt8(ascii: "/") else {
            throw Problem(.badRequest, .invalid, "The request's target must be a path, such as '/v1/vgpus'.")
        }
        let mark = target.firstIndex(of: UInt8(ascii: "?"))
        path = try target[..<(mark ?? target.endIndex)].dropFirst()
            .split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { part throws(Problem) in try Self.decoded(part) }
        var query: [String: String] = [:]
        if let mark {
            for pair in target[target.index(after: mark)...].split(separator: UInt8(ascii: "&")) {
                let sides = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
                query[try Self.decoded(sides[0])] = sides.count > 1 ? try Self.decoded(sides[1]) : ""
            }
        }
        self.query = query
        contentType = full.head.headers.first(name: "content-type").map {
            String($0.prefix { $0 != ";" }).lowercased().filter { $0 != " " }
        }
        body = full.body.map { Array($0.readableBytesView) } ?? []
    }

    /// Takes percent-encoding away. RFC 3986, section 2.1
    private static func decoded(_ text: Substring.UTF8View) throws(Problem) -> String {
        var bytes: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexadecimal), let low = rest.popFirst().flatMap(hexadecimal) else {
                throw Problem(.badRequest, .invalid, "The path has a '%' without two hexadecimal digits behind it.")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw Problem(.badRequest, .invalid, "The path is no UTF-8.")
        }
        guard decoded.isStreamSafe else {
            throw Problem(.badRequest, .invalid, "The path has too many combining characters in a row.")
        }
        return decoded
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8? {
        Character(Unicode.Scalar(digit)).hexDigitValue.map { UInt8($0) }
    }

    // MARK: What it says

    /// The body as JSON.
    ///
    /// - Parameter types: the media types that it may have; the first one is named to who sends another.
    private func json(as types: [String]) throws(Problem) -> JSON {
        guard let contentType, types.contains(contentType) else {
            throw Problem(
                .unsupportedMediaType, .unsupportedMediaType,
                "The body's content type is \(contentType.map { "'\($0)'" } ?? "missing") but must be '\(types[0])'.")
        }
        do throws(JSONError) { return try JSON(parsing: body) } catch {
            throw Problem(.badRequest, .invalid, "The body is no JSON: \(error).")
        }
    }

    /// The body as a value all of whose members are known, and none of them null.
    func decode<Value: Decodable>(
        _ type: Value.Type, members: [String], nested: [String: [String]] = [:], as mediaTypes: String...
    ) throws(Problem) -> Value {
        let json = try json(as: mediaTypes)
        try Self.check(json, members, "The body")
        for (name, members) in nested where json[name]?.object != nil {
            try Self.check(json[name] ?? .null, members, "'\(name)'")
        }
        do throws(JSONError) { return try json.decode(type) } catch {
            throw Problem(.badRequest, .invalid, "The body doesn't fit: \(error).")
        }
    }

    private static func check(_ json: JSON, _ members: [String], _ what: String) throws(Problem) {
        guard let object = json.object else {
            throw Problem(.badRequest, .invalid, "\(what) must be a JSON object.")
        }
        if let unknown = object.names.first(where: { !members.contains($0) }) {
            throw Problem(
                .badRequest, .invalid,
                "\(what) has a member '\(unknown)', which is none of \(members.joined(separator: ", ")).")
        }
        if let empty = object.first(where: { $0.value == .null }) {
            throw Problem(.badRequest, .invalid, "\(what) has a member '\(empty.name)' that is null. Leave it out.")
        }
    }

    /// A number of the query.
    func number(_ name: String, in range: ClosedRange<Int>, otherwise standard: Int) throws(Problem) -> Int {
        guard let text = query[name] else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw Problem(
                .badRequest, .invalid,
                "The parameter '\(name)' is '\(text)' but must be a number from \(range.lowerBound) to \(range.upperBound)."
            )
        }
        return number
    }
}
