extension Exerciser {
    /// All registers but those that follow from others. The buffer is saved as mapped memory is.
    public struct State: Codable, Equatable, Sendable {
        var scratch: UInt32 = 0
        var wideScratch: UInt64 = 0
        var cause: UInt32 = 0
        var source: UInt64 = 0
        var destination: UInt64 = 0
        var length: UInt32 = 0
        var pattern: UInt8 = 0
        var status = Status.done
        var faultAddress: UInt64 = 0
        var reads: UInt64 = 0
        var writes: UInt64 = 0
        var commands: UInt64 = 0
        var rings: UInt64 = 0
        var tail: UInt64 = 0
    }
}
