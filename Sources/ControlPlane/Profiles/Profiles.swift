import Linux
import Mediation
import Yams

/// The parents and types that an administrator has written down in a file such as Documentation/types.yaml.
public struct Profiles: Equatable, Sendable {
    public var parents: [Parent]
    public var types: [InstanceType]

    public init(parents: [Parent] = [], types: [InstanceType] = []) {
        self.parents = parents
        self.types = types
    }

    /// Reads a file of at most 64 KiB.
    ///
    /// - Returns: nil when there is none.
    public init?(readingFile path: String) throws(ProfileError) {
        let text: [UInt8]
        do throws(Errno) {
            // One more than is read, for the complaint.
            text = try Descriptor(reading: path).readBytes(upTo: Node.mostBytes + 1)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch {
            throw ProfileError(path: path, place: nil, reason: "It can't be read: \(error).")
        }
        try self.init(text, path: path)
    }

    /// - Parameters:
    ///   - text: YAML in UTF-8.
    ///   - path: where it comes from, for what is said of it.
    public init(_ text: [UInt8], path: String) throws(ProfileError) {
        do throws(Fault) { try self.init(text) } catch {
            throw ProfileError(path: path, place: error.place, reason: error.reason)
        }
    }

    private init(_ text: [UInt8]) throws(Fault) {
        self.init()
        guard let document = try Node.root(of: text) else { return }
        if case .word("") = try document.content() { return }
        let fields = try Fields(document, describing: "a file of types and parents", keys: ["parents", "types"])
        var names = Names(of: "parent", builtIn: [])
        for node in try fields.elements("parents") { parents.append(try Parent(node, &names)) }
        names = Names(of: "type", builtIn: InstanceType.builtInNames)
        for node in try fields.elements("types") { types.append(try InstanceType(node, &names)) }
    }
}

/// The names that are taken.
struct Names {
    private static let longest = 64

    private let kind: String
    private let builtIn: [String]
    private var lines: [String: Int] = [:]

    init(of kind: String, builtIn: [String]) {
        self.kind = kind
        self.builtIn = builtIn
    }

    /// Takes a name: paths, addresses and command lines hold it, so it has nothing that they would change.
    mutating func take(_ name: Setting) throws(Fault) -> String {
        let bytes = name.text.utf8
        guard let first = bytes.first, Self.isWordCharacter(first), bytes.count <= Self.longest,
            bytes.allSatisfy({ Self.isWordCharacter($0) || "-_.".utf8.contains($0) })
        else {
            throw name.fault(
                "must begin with a letter or digit, go on with these, '-', '_' or '.', and have at most \(Self.longest)"
            )
        }
        guard !builtIn.contains(name.text) else {
            throw name.fault("that is a \(kind) which is always there: choose another name")
        }
        if let line = lines.updateValue(name.place.line, forKey: name.text) {
            throw name.fault("so is that of the \(kind) in line \(line): choose another name")
        }
        return name.text
    }

    private static func isWordCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

extension Parent {
    init(_ node: Node, _ names: inout Names) throws(Fault) {
        let fields = try Fields(node, describing: "a parent", keys: ["name", "description", "video-memory"])
        let memory = try fields.requiredSetting("video-memory")
        self.init(
            name: try names.take(fields.requiredSetting("name")),
            description: try fields.setting("description")?.text ?? "",
            videoMemory: try memory.number(in: 0...Int.max))
    }
}

extension Setting {
    /// K, M and G multiply by powers of 1024.
    func number(in range: ClosedRange<Int>) throws(Fault) -> Int {
        try checked { () throws(MediationError) in try Attribute(key, text).number(in: range) }
    }
}
