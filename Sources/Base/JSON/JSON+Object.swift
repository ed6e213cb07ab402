extension JSON {
    /// The members of a JSON object: in the order in which they were added, found by name in constant time.
    ///
    /// Two objects are equal when they have equal members, in whatever order. Names are compared byte by byte, as
    /// RFC 8259 recommends (section 8.3).
    public struct Object: Sendable {
        /// The names, in order.
        public private(set) var names: [String] = []
        fileprivate private(set) var values: [Name: JSON] = [:]

        /// A name as its bytes. Swift's own comparison, by canonical equivalence, would take different ones for the
        /// same.
        fileprivate struct Name: Hashable {
            let text: String

            init(_ text: String) {
                self.text = text
            }

            static func == (a: Name, b: Name) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

            func hash(into hasher: inout Hasher) {
                for byte in text.utf8 { hasher.combine(byte) }
            }
        }

        /// No members.
        public init() {}

        /// Of members with the same name the last counts.
        public init(_ members: some Sequence<(String, JSON)>) {
            for (name, value) in members { self[name] = value }
        }

        /// The value of a member; setting nil removes it, in time linear in the number of members.
        public subscript(name: String) -> JSON? {
            get { values[Name(name)] }
            set {
                let key = Name(name)
                guard let newValue else {
                    if values.removeValue(forKey: key) != nil { names.removeAll { Name($0) == key } }
                    return
                }
                if values.updateValue(newValue, forKey: key) == nil { names.append(name) }
            }
        }
    }
}

extension JSON.Object: Equatable {
    public static func == (a: Self, b: Self) -> Bool { a.values == b.values }
}

extension JSON.Object: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { names.count }
    public subscript(position: Int) -> (name: String, value: JSON) {
        (names[position], self[names[position]] ?? .null)
    }
}

extension JSON.Object: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral members: (String, JSON)...) { self.init(members) }
}
