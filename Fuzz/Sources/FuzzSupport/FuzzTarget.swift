import CFuzzer
import Glibc
import Linux

/// What is fuzzed. It is made once for a whole run, and finds itself before each input as it was made: what an input
/// does follows from its bytes alone.
public protocol FuzzTarget: AnyObject {
    associatedtype Feature: Hashable

    init() throws

    /// Does what an input says.
    ///
    /// - Throws: what can't happen to an honest driver or client; a finding.
    func run(_ input: inout Input) throws

    var reach: Reach<Feature> { get }
}

extension FuzzTarget {
    fileprivate func tell() -> Bool { reach.tell() }
}

/// libFuzzer has one thread, and no place for what its callback needs.
private nonisolated(unsafe) var target: (any FuzzTarget)?

/// Runs libFuzzer, with this process's arguments, on the target that the program is called by.
///
/// When it ends it tells what was reached; that some was not is a finding where the environment has `FUZZ_REACH`.
public func runFuzzer(_ targets: [String: any FuzzTarget.Type]) {
    StandIn.runIfCalled()
    let name = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? ""
    guard let type = targets[name] else {
        StandardError.print("This program is to be called by the name of a target: \(targets.keys.sorted()).")
        exit(2)
    }
    do {
        target = try type.init()
    } catch {
        fuzzFailed("The target could not be made: \(error)")
    }
    atexit {
        let isWhole = target?.tell() ?? true
        if !isWhole, getenv("FUZZ_REACH") != nil { _exit(1) }
    }
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    _ = LLVMFuzzerRunDriver(&count, &arguments) { start, count in
        // SAFETY: libFuzzer owns the bytes for the time of the call.
        var input = Input(UnsafeRawBufferPointer(start: start, count: count))
        do {
            try target?.run(&input)
        } catch {
            fuzzFailed("What always works has failed: \(error)")
        }
        return 0
    }
}

/// Ends the fuzzer with a finding.
public func fuzzFailed(_ reason: String) -> Never {
    fatalError(reason)
}
