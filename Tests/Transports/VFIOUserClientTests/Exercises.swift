import FakeGuest
import Glibc
import Linux
import VFIO
import VFIOUserClient

/// The exerciser's commands, as a driver gives them.
enum Exercise: UInt32 {
    case load = 1
    case store = 2
    case copy = 3
    case fill = 4
}

/// Gives the exerciser a command; register 0x3c tells how it ended.
func command(
    _ client: Client, _ exercise: Exercise, source: UInt64 = 0, destination: UInt64 = 0, length: UInt32
) throws {
    try client.write(source, region: 0, offset: 0x20)
    try client.write(destination, region: 0, offset: 0x28)
    try client.write(length, region: 0, offset: 0x30)
    try client.write(exercise.rawValue, region: 0, offset: 0x38)
}

/// Has the exerciser write `length` bytes of `pattern` to guest memory.
func fill(_ client: Client, _ destination: UInt64, _ length: UInt32, with pattern: UInt8) throws {
    try client.write(pattern, region: 0, offset: 0x34)
    try command(client, .fill, destination: destination, length: length)
}

/// A file whose size can change under a map, as a hostile client's does.
final class GrowableFile {
    let descriptor: Descriptor

    init(size: Int) throws {
        var template = Array("/tmp/mediated-file-XXXXXX".utf8CString)
        let raw = mkstemp(&template)
        guard raw >= 0 else { throw Errno.ioError }
        unlink(template)
        descriptor = Descriptor(owning: raw)
        try resize(to: size)
    }

    func resize(to size: Int) throws {
        guard ftruncate(descriptor.raw, size) == 0 else { throw Errno.ioError }
    }
}
