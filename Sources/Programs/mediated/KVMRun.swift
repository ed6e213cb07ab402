import ArgumentParser
import Glibc
import KVM
import Linux
import VFIOUserClient

/// `mediated kvm`
struct KVMCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kvm", abstract: "Small KVM guests, to try devices in.", subcommands: [KVMRun.self])
}

/// `mediated kvm run`
struct KVMRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a real-mode program in a KVM guest that has vfio-user devices.",
        discussion: """
            The program is loaded at address 0x1000 and begins there in real mode. Bytes that it writes to port 0xe9 or \
            0x3f8 are printed; a byte written to port 0xf4 ends the guest, and is the exit status. The devices are in slots \
            1, 2, … of PCI bus 0, with all of the guest's memory open to their DMA.
            """)

    @Option(
        help: ArgumentHelp("The vfio-user socket of a device; may be repeated.", valueName: "socket"),
        completion: .file())
    var device: [String] = []

    @Option(help: ArgumentHelp("The program: a flat binary.", valueName: "image"), completion: .file())
    var guest: String

    @Option(help: "The guest's memory.")
    var memory = Size(1 << 20)

    @Option(help: "The guest's processors; all but the first wait for a startup IPI.")
    var processors = 1

    @Flag(help: "Tell at the end how often the guest was left, and for what.")
    var statistics = false

    func validate() throws {
        guard Machine.memorySizes.contains(memory.bytes) else {
            let (least, most) = (Size(Machine.memorySizes.lowerBound), Size(Machine.memorySizes.upperBound))
            throw ValidationError("The memory is \(memory) but must be from \(least) to \(most).")
        }
        guard (1...Machine.maximumProcessors).contains(processors) else {
            throw ValidationError(
                "The processors are \(processors) but must be from 1 to \(Machine.maximumProcessors).")
        }
        guard device.count <= Machine.slots.count - 1 else {
            throw ValidationError("There are \(device.count) devices for \(Machine.slots.count - 1) slots.")
        }
    }

    func run() throws {
        let image = try image()
        let machine: Machine
        do {
            machine = try Machine(memorySize: memory.bytes, processors: processors) { byte in
                var byte = byte
                _ = write(STDOUT_FILENO, &byte, 1)
            }
            for (number, path) in device.enumerated() {
                try machine.attach(try client(path), slot: number + 1)
            }
            try machine.load(image)
        } catch let error as KVMError {
            throw Failure(.unavailable, error.description)
        } catch let error as ClientError {
            throw Failure(.protocol, error.description)
        }
        let status: UInt8?
        do {
            status = try machine.run()
        } catch let failure as VCPU.Failure {
            throw Failure(.software, failure.description)
        }
        for trouble in machine.troubles { StandardError.print(trouble) }
        if statistics { tell(machine.counters) }
        Glibc.exit(Int32(status ?? 0))
    }

    private func image() throws -> [UInt8] {
        let image: [UInt8]
        do throws(Errno) {
            image = try Descriptor(reading: guest).readBytes(upTo: memory.bytes)
        } catch {
            throw Failure(error, cannot: "read the guest", guest, otherwise: .noInput)
        }
        // Zeros are instructions too: it would run for ever.
        guard !image.isEmpty else { throw Failure(.usage, "The guest '\(guest)' is empty.") }
        return image
    }

    private func client(_ path: String) throws -> Client {
        do throws(ClientError) {
            return try Client(path: path)
        } catch {
            switch error {
            case .system(let errno):
                throw Failure(errno, cannot: "connect to", path, otherwise: .unavailable)
            case .refused(.version, .resourceBusy):
                throw Failure(.unavailable, "The device at '\(path)' is in use by another client.")
            default: throw Failure(.protocol, "'\(path)' can't be used. \(error)")
            }
        }
    }

    private func tell(_ counters: ExitCounters) {
        StandardError.print("memory-reads \(counters.memoryReads)")
        StandardError.print("memory-writes \(counters.memoryWrites)")
        StandardError.print("port-reads \(counters.portReads)")
        StandardError.print("port-writes \(counters.portWrites)")
        StandardError.print("others \(counters.others)")
    }
}
