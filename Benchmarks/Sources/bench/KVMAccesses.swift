import CFloor
import Foundation
import KVM
import Linux
import VFIOUserClient

/// Accesses from inside a KVM guest: a loop between two marks for the clock.
struct KVMAccesses {
    private static let rounds = 5

    let program: String

    enum Way: CaseIterable {
        case exitAndSocket, exitAndRing, doorbell, shared, mapped, interrupt

        var name: String {
            switch self {
            case .exitAndSocket: "KVM guest: register read by exit and socket"
            case .exitAndRing: "KVM guest: register read by exit and ring"
            case .doorbell: "KVM guest: doorbell by ioeventfd"
            case .shared: "KVM guest: shared register"
            case .mapped: "KVM guest: mapped BAR"
            case .interrupt: "KVM guest: register write to MSI-X by irqfd"
            }
        }

        var guest: String {
            switch self {
            case .exitAndSocket, .exitAndRing: "read"
            case .doorbell: "doorbell"
            case .shared: "shared"
            case .mapped: "mapped"
            case .interrupt: "interrupt"
            }
        }

        /// How often the guest's loop runs.
        var accesses: Double { self == .interrupt ? 2000 : 20_000 }
    }

    /// Against the same guest's read by exit and socket.
    func compareAll() throws -> [Result] {
        guard VirtualMachine.isAvailable else {
            print("KVM: skipped, there is no usable /dev/kvm.")
            return []
        }
        var floor: Double?
        return try Way.allCases.map { way in
            let (time, exits) = try measure(way)
            defer { floor = floor ?? time }
            // No access, and so nothing to compare one with.
            let floor = way == .interrupt ? nil : floor
            return Result(
                name: "\(way.name) (\(exits) exits)", unit: "ns", value: time, floor: floor,
                ratio: floor.map { time / $0 })
        }
    }

    /// - Returns: nanoseconds an access, and how many of them left the guest.
    private func measure(_ way: Way) throws -> (Double, UInt64) {
        let image = try image(way.guest)
        var times: [Double] = []
        var exits: UInt64 = 0
        for _ in 0..<Self.rounds {
            let device = try DeviceUnderTest("exerciser", program: program)
            var configuration = Client.Configuration()
            if way == .exitAndSocket { configuration.capabilities.accessRing = nil }
            let marks = Marks()
            let machine = try Machine(memorySize: 512 << 10) { _ in marks.times.append(now()) }
            try machine.attach(device.typedClient(configuration), slot: 1)
            try machine.load(image)
            floor_pin(getpid(), 1)
            floor_pin(device.process, 0)
            _ = try machine.run(within: .seconds(60))
            if marks.times.count == 2 { times.append(Double(marks.times[1] - marks.times[0]) / way.accesses) }
            exits = machine.counters.memory
        }
        guard !times.isEmpty else { throw Errno.timedOut }
        return (median(times), exits)
    }

    /// Unchecked: the vCPU's thread writes it, and whoever made it reads it after that thread has ended.
    private final class Marks: @unchecked Sendable {
        var times: [UInt64] = []
    }

    /// Assembles Guests/NAME.s.
    private func image(_ name: String) throws -> [UInt8] {
        let here = URL(filePath: #filePath).deletingLastPathComponent()
        let folder = here.appending(path: "../../Guests").standardized.path
        let shared = here.appending(path: "../../../Tests/Transports/KVMTests/Guests").standardized.path
        let (object, image) = ("/tmp/mediated-bench.\(getpid()).o", "/tmp/mediated-bench.\(getpid()).bin")
        defer {
            unlink(object)
            unlink(image)
        }
        try run("as", "--32", "-I", shared, "-o", object, "\(folder)/\(name).s")
        try run("ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x1000", "-o", image, object)
        return try Descriptor(reading: image).readBytes(upTo: 1 << 16)
    }

    private func run(_ program: String, _ arguments: String...) throws {
        let process = try Process.run(URL(filePath: "/usr/bin/\(program)"), arguments: arguments)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Errno.ioError }
    }
}
