import Glibc
import Linux

/// Many devices at once.
struct Crowd {
    let program: String

    /// Reads a second of `count` devices together, each with a client of its own, against one device alone.
    func busy(_ counts: [Int]) throws -> [Result] {
        var alone: Double?
        return try counts.map { count in
            let devices = try (0..<count).map { _ in try DeviceUnderTest("exerciser", program: program) }
            let exchange = Exchange.read(region: 0, offset: 4, count: 4)
            let threads = try devices.map { device in
                let socket = device.connection.raw
                return try Thread(name: "client") { _ = try? exchange.measure(socket, times: 40_000 / count) }
            }
            let start = now()
            withExtendedLifetime(devices) { for thread in threads { thread.join() } }
            let rate = Double(40_000 / count * count) * 1e9 / Double(now() - start)
            defer { alone = alone ?? rate }
            return Result(
                name: "Reads a second of \(count) busy devices together", unit: "", value: rate, floor: alone,
                ratio: alone.map { rate / $0 })
        }
    }

    /// Devices with a client that does nothing: memory each, and how often they wake up.
    func idle(_ count: Int, seconds: UInt32 = 5) throws -> [Result] {
        let devices = try (0..<count).map { _ in try DeviceUnderTest("exerciser", program: program) }
        defer { withExtendedLifetime(devices) {} }
        let memory = try devices.map { try $0.memory("Pss") }.reduce(0, +) / Double(count)
        let before = try devices.map { try $0.wakeUps() }.reduce(0, +)
        sleep(seconds)
        let after = try devices.map { try $0.wakeUps() }.reduce(0, +)
        return [
            Result(
                name: "Memory of each of \(count) idle devices (PSS)", unit: "MB", value: memory * 1024 / 1e6, aim: 6),
            Result(
                name: "Wake-ups a second of \(count) idle devices together", unit: "",
                value: Double(after - before) / Double(seconds), aim: 0),
        ]
    }
}

extension DeviceUnderTest {
    /// How often its threads have slept and been woken: `voluntary_ctxt_switches`.
    func wakeUps() throws -> Int {
        var sum = 0
        for thread in try threads() {
            let text = String(
                decoding: try Descriptor(reading: "/proc/\(process)/task/\(thread)/status").readBytes(upTo: 1 << 16),
                as: UTF8.self)
            let line = text.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") } ?? ""
            sum += line.split(separator: "\t").last.flatMap { Int($0) } ?? 0
        }
        return sum
    }

    private func threads() throws -> [String] {
        guard let folder = opendir("/proc/\(process)/task") else { throw Errno(rawValue: errno) }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if Int(name) != nil { names.append(name) }
        }
        return names
    }
}
