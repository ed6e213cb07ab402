extension QueueProtocol {
    /// What a client's messages say behind their headers, by the number of the command. vfio-user specification,
    /// "Commands"
    static let commands: [UInt32: Message] = [
        1: .init("VERSION", [.init("major", 0, .number(2)), .init("minor", 2, .number(2)), .init("json", 4, .rest)]),
        2: .init(
            "DMA_MAP",
            [
                .init("address", 16, .hexadecimal(8)), .init("size", 24, .hexadecimal(8)),
                .init("offset", 8, .hexadecimal(8)), .init("flags", 4, .hexadecimal(4)),
            ]),
        3: .init(
            "DMA_UNMAP",
            [
                .init("address", 8, .hexadecimal(8)), .init("size", 16, .hexadecimal(8)),
                .init("flags", 4, .hexadecimal(4), .notZero),
            ]),
        5: .init("DEVICE_GET_REGION_INFO", [.init("index", 8)]),
        6: .init("DEVICE_GET_REGION_IO_FDS", [.init("index", 8)]),
        7: .init("DEVICE_GET_IRQ_INFO", [.init("index", 8)]),
        8: .init(
            "DEVICE_SET_IRQS",
            [
                .init("index", 8, .words([0: "INTx", 1: "MSI", 2: "MSI-X", 3: "ERR", 4: "REQ"])), .init("start", 12),
                .init("count", 16), .init("flags", 4, .hexadecimal(4)),
            ]),
        16: .init("DEVICE_FEATURE", [.init("feature", 4, .number(2)), .init("flags", 6, .hexadecimal(2))]),
        17: .init("MIG_DATA_READ", [.init("size", 4)]), 18: .init("MIG_DATA_WRITE", [.init("size", 4)]),
    ]

    /// What a client's message says, as far as `bytes` go, which follow its header.
    static func fields(ofCommand number: UInt64, _ bytes: [UInt8]) -> [Reading.Field] {
        commands[UInt32(clamping: number)]?.readings(of: bytes) ?? []
    }
}
