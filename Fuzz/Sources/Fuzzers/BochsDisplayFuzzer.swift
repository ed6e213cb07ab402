import Device
import DeviceCatalog
import FakeDriver
import FuzzSupport

@testable import BochsDisplay

/// Accesses of a display's registers, and an administrator who limits its memory.
final class BochsDisplayFuzzer: FuzzTarget {
    private let driver: RegisterDriver
    private(set) var reach: Reach<String>

    /// With these most modes can be shown, at the edge of what the memory holds.
    private static let values: [String: [UInt64]] = [
        "dispi(\(DISPI.Register.id))": [0xb0c0, 0xb0c1, 0xb0c2, 0xb0c3, 0xb0c4, 0xb0c5],
        "dispi(\(DISPI.Register.width))": [0, 1, 64, 100, 640, 1024, 8192, 0xffff],
        "dispi(\(DISPI.Register.height))": [0, 1, 16, 33, 400, 768, 8192, 0xffff],
        "dispi(\(DISPI.Register.bitsPerPixel))": [8, 15, 16, 24, 32, 0, 4, 33],
        "dispi(\(DISPI.Register.enable))": [0xc1, 0x41, 0x01, 0x81, 0, 2, 0x61, 0xe3],
        "attribute": [0, 0x20],
        "byteOrder": [0x1e1e_1e1e, 0xbebe_bebe, 0],
    ]
    private static let formats = [
        "xrgb8888", "bgrx8888", "rgb888", "bgr888", "rgb565", "rgb565BigEndian", "xrgb1555", "xrgb1555BigEndian",
        "indexed8",
    ]

    init() throws {
        let device = try FuzzedFunction {
            // The least there is.
            try DeviceCatalog.make("bochs-display", options: ["vram=1280K", "resolution=640x480"], host: $0)
        }
        let registers = RegisterDriver.Place.all(BochsDisplay.registers, bar: 2)
        driver = RegisterDriver(device, registers: registers, values: Self.values)
        reach = Reach(driver.features(registers) + Self.formats + ["quota changed", "quota refused"])
    }

    func run(_ input: inout Input) throws {
        try driver.device.begin(input)
        while !input.isEmpty {
            try driver.step(&input, &reach) { action, input, reach in
                if action & 1 == 0 { limit(&input, &reach) } else { try setMode(&input, &reach) }
            }
        }
    }

    /// As a driver does, one register after the other.
    private func setMode(_ input: inout Input, _ reach: inout Reach<String>) throws {
        let shape = input.byte()
        let numbers: [DISPI.Register: UInt64] = [
            .width: UInt64(input.byte()), .height: UInt64(input.byte()),
            .bitsPerPixel: [8, 15, 16, 24, 32, 32, 16, 24][Int(shape & 7)], .enable: 0xc1,
        ]
        for register in DISPI.Register.allCases {
            guard let number = numbers[register] else { continue }
            try driver.device.function.store(
                number, region: 2, offset: 0x500 + 2 * UInt64(register.rawValue), width: .word)
        }
        let order = shape & 8 == 0 ? BochsDisplay.ByteOrder.little : .big
        try driver.device.function.store(UInt64(order.rawValue), region: 2, offset: 0x604, width: .dword)
        guard let scanout = driver.device.function.display?.heads.first?.scanout else { return }
        reach.note(scanout.format.rawValue)
    }

    private func limit(_ input: inout Input, _ reach: inout Reach<String>) {
        let quota = Quota(
            videoMemory: Int(input.byte()) << 16, frameRate: input.byte() & 1 == 0 ? nil : Int(input.byte()))
        do {
            try driver.device.function.apply(quota)
            reach.note("quota changed")
        } catch {
            reach.note("quota refused")
        }
    }
}
