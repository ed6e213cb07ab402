import FuzzSupport

/// Both ends of the link with a renderer, the other one being hostile: what a device process is sent by a renderer that
/// was taken over, and the other way round.
final class RendererFuzzer: FuzzTarget {
    /// One for the whole run, as it takes a process to make one.
    private let worker: HostileWorker
    private(set) var reach = Reach(Feature.allCases)

    enum Feature: CaseIterable {
        case hostileDeviceProcess, bytesAsCommand, hostileRenderer
        case commandArrived, commandTaken, commandRefused, rendererEnded, answered, memoryShared, congested
    }

    init() throws {
        worker = try HostileWorker()
    }

    func run(_ input: inout Input) throws {
        switch input.byte() & 3 {
        case 0:
            reach.note(.hostileDeviceProcess)
            if try HostileDeviceProcess.run(&input) > 0 { reach.note(.commandArrived) }
        case 1:
            reach.note(.bytesAsCommand)
            reach.note(HostileDeviceProcess.readCommand(&input) ? .commandTaken : .commandRefused)
        default:
            reach.note(.hostileRenderer)
            for feature in try worker.run(&input) { reach.note(feature) }
        }
    }
}
