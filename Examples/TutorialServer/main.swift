import Device
import Glibc
import Linux
import TutorialDevice
import VFIOUserServer

guard CommandLine.arguments.count == 2 else {
    print("usage: bell SOCKET")
    exit(64)
}
let host = Host(loop: try EventLoop())
let bell = Bell(options: try DeviceOptions(for: Bell.type), host: host)
let function = try Function(bell, host: host)
try Server(function, listener: UnixListener(path: CommandLine.arguments[1], mode: 0o600)).run()
