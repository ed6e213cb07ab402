import Foundation

extension Pipe {
    /// Reads what a program says until `word` is in it.
    ///
    /// - Returns: what it said.
    /// - Throws: ``Program/Ended`` when nothing more comes.
    @discardableResult
    public func read(until word: String) throws -> String {
        var said = ""
        while !said.contains(word) {
            let more = fileHandleForReading.availableData
            guard !more.isEmpty else { throw Program.Ended(said: said) }
            said += String(decoding: more, as: UTF8.self)
        }
        return said
    }
}

extension Program {
    /// A program that has ended without saying what was waited for.
    public struct Ended: Error {
        public let said: String
    }
}
