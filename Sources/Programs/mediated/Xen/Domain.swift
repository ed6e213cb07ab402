import XenSlot

/// A Xen domain that a command's argument means: by its number, or by its name where Xen's own tool can tell that.
struct Domain {
    let number: UInt16

    init(_ word: String) throws(Failure) {
        let isNumber = !word.isEmpty && word.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }
        guard !word.isEmpty, !word.hasPrefix("-") else {
            throw Failure(.usage, "The domain is '\(word)' but must be a number or a name.")
        }
        let number = isNumber ? UInt16(word) : try Self.number(of: word)
        guard let number, DomainSlot.domains.contains(number) else {
            throw Failure(
                .usage,
                "The domain is '\(word)' but must be one whose number is from \(DomainSlot.domains.lowerBound) to "
                    + "\(DomainSlot.domains.upperBound): domain 0 has no device models.")
        }
        self.number = number
    }

    private static func number(of name: String) throws(Failure) -> UInt16 {
        guard let xl = XL() else {
            throw Failure(
                .unavailable, "There is no xl here that knows which domain '\(name)' is: give the domain's number.")
        }
        return try xl.number(of: name)
    }

    /// Checks that the guest hasn't begun: it looks for devices when it boots, and is told of none later.
    func checkIsNew() throws(Failure) {
        let wayOut = "To attach all the same give --live, and have the guest look: 'echo 1 >/sys/bus/pci/rescan'."
        guard let xl = XL() else {
            throw Failure(
                .unavailable,
                "There is no xl here that knows whether domain \(number) has run already, when its guest would find no new "
                    + "device. \(wayOut)")
        }
        guard try !xl.hasRun(number) else {
            throw Failure(
                .unavailable,
                "Domain \(number) has run already, and its guest isn't told of a new device. Start it paused: "
                    + "'xl create -p', attach, 'xl unpause'. \(wayOut)")
        }
    }
}
