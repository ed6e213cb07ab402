/// The first few things that went wrong, in sentences: a guest can make any number of them happen.
struct Troubles {
    private static let most = 16
    private(set) var all: [String] = []

    mutating func note(_ what: String, _ error: any Error) {
        if all.count < Self.most { all.append("\(what): \(error)") }
    }
}
