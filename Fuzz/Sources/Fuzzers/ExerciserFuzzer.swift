import DeviceCatalog
import FuzzSupport

@testable import Exerciser

/// Accesses of the exerciser's registers, and its DMA.
final class ExerciserFuzzer: FuzzTarget {
    private let driver: RegisterDriver
    private let exerciser: Exerciser?
    private(set) var reach: Reach<String>

    /// Short transfers: each byte more takes time and shows nothing new. Guest memory ends at 0x4000.
    private static let values: [String: [UInt64]] = [
        "source": [0, 0x1000, 0x3ff0, 0x4000, .max, .max - 7],
        "destination": [0, 0x1000, 0x3ff0, 0x4000, .max, .max - 7],
        "length": [0, 1, 16, 64, 0x1001, 0x1_0001, 0x10_0001],
        "command": [1, 2, 3, 4, 0x101, 0x7_0104, 0xff_0102, 5],
        "setCause": [0, 1, 0xffff_ffff],
    ]
    private static let results = [
        "\(Exerciser.Status.done)", "\(Exerciser.Status.unknownCommand)", "\(Exerciser.Status.lengthTooLarge)",
        "\(Exerciser.Status.notMapped)", "\(Exerciser.Status.invalidRange)",
    ]

    init() throws {
        let device = try FuzzedFunction { try DeviceCatalog.make("exerciser", options: [], host: $0) }
        let registers =
            RegisterDriver.Place.all(Exerciser.registers, bar: 0) + RegisterDriver.Place.all(Exerciser.ports, bar: 1)
            + RegisterDriver.Place.all(Exerciser.bufferRegisters, bar: 2)
        driver = RegisterDriver(device, registers: registers, values: Self.values)
        exerciser = device.function.device as? Exerciser
        reach = Reach(driver.features(registers) + Self.results)
    }

    func run(_ input: inout Input) throws {
        try driver.device.begin(input)
        while !input.isEmpty {
            let commands = exerciser?.state.commands
            try driver.step(&input, &reach)
            guard let state = exerciser?.state, state.commands != commands, state.commands > 0 else { continue }
            if Self.results.contains("\(state.status)") { reach.note("\(state.status)") }
        }
    }
}
