extension JSON {
    /// The members of a JSON object: in the order in which they were added, found by name in constant time.
    ///
    /// Two objects are equal when they have equal members, in whatever order. Names are compared as Swift
    /// compares strings, by canonical equivalence.
    public struct Object: Sendable {
        /// The names, in order.
        public private(set) var names: [String] = []
        private var values: [String: JSON] = [:]

        /// No members.
        public init() {}

        /// Of members with the same name the last counts.
        public init(_ members: some Sequence<(String, JSON)>) {
            for (name, value) in members { self[name] = value }
        }

        /// The value of a member; setting nil removes it, in time linear in the number of members.
        public subscript(name: String) -> JSON? {
            get { values[name] }
            set {
                guard let newValue else {
                    if values.removeValue(forKey: name) != nil { names.removeAll { $0 == name } }
                    return
                }
                if values.updateValue(newValue, forKey: name) == nil { names.append(name) }
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
        (names[position], values[names[position]] ?? .null)
    }
}

extension JSON.Object: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral members: (String, JSON)...) { self.init(members) }
}
