import JSON

extension FakeQEMU {
    /// The answers of a machine that is fit for hot-plug: shared memory, one free port `rp`, no device.
    public static let machine: [String: [JSON]] = [
        "qom-list-types vfio-user-pci": [["return": [["name": "vfio-user-pci", "parent": "vfio-pci-device"]]]],
        "qom-list-types pcie-slot": [["return": [["name": "pcie-root-port"], ["name": "xio3130-downstream"]]]],
        "query-migrate": [["return": [:]]],
        "query-memdev": [["return": [["id": "mem", "share": true]]]],
        "query-status": [["return": ["status": "running", "running": true]]],
        "qom-list /machine/peripheral": [properties(["rp": "child<pcie-root-port>"])],
        "qom-list /machine/peripheral/rp": [properties(["hotplug": "bool", "rp": "child<PCIE>"])],
        "qom-list /machine/peripheral/rp/rp": [properties(["hotplug-handler": "link<hotplug-handler>"])],
        "qom-get /machine/peripheral/rp": [["return": true]],
        "device_add": [["return": [:]]],
        "query-pci": [buses(port: port(holding: [display]))],
        "device_del": [["return": [:]]],
    ]

    /// The same with a device `vgpu0` in the port, whose socket is `/run/vgpu`.
    public static let occupiedMachine = machine.merging([
        "qom-list /machine/peripheral": [
            properties(["rp": "child<pcie-root-port>", "vgpu0": "child<vfio-user-pci>", "disk": "child<nvme>"])
        ],
        "qom-list /machine/peripheral/rp/rp": [properties(["child[0]": "link<vfio-user-pci>"])],
        "qom-list /machine/peripheral/vgpu0": [
            properties([#"vfio-user:\x2frun\x2fvgpu base BAR 0[0]"#: "child<memory-region>"])
        ],
        "device_del": [
            event("NIC_RX_FILTER_CHANGED"), ["return": [:]], event("DEVICE_DELETED", path: "/machine/peripheral/disk"),
            event("DEVICE_DELETED", path: "/machine/peripheral/vgpu0"),
        ],
    ]) { $1 }

    public static func event(_ name: String, path: String? = nil) -> JSON {
        ["event": .string(name), "data": path.map { ["path": .string($0)] } ?? [:], "timestamp": [:]]
    }

    /// A result of qom-list: types by name.
    public static func properties(_ types: KeyValuePairs<String, String>) -> JSON {
        ["return": .array(types.map { ["name": .string($0), "type": .string($1)] })]
    }

    /// `vgpu0`, with a memory BAR of 16 MiB and one of 4 KiB, which the guest has enabled.
    public static let display = display(memory: 0xc000_0000, registers: 0xc100_0000)
    /// The same before the guest has.
    public static let newDisplay = display(memory: -1, registers: -1)

    private static func display(memory: Int, registers: Int) -> JSON {
        [
            "qdev_id": "vgpu0", "bus": 1, "slot": 0, "function": 0,
            "regions": [
                ["bar": 0, "type": "memory", "size": 0x100_0000, "prefetch": true, "address": JSON(memory)],
                ["bar": 1, "type": "io", "size": 16, "address": -1],
                ["bar": 2, "type": "memory", "size": 4096, "prefetch": false, "address": JSON(registers)],
            ],
        ]
    }

    /// A port with windows of 32 MiB and 2 MiB, or others.
    public static func port(holding devices: JSON, prefetchable: Int = 32 << 20, other: Int = 2 << 20) -> JSON {
        func window(_ size: Int) -> JSON { ["base": 0x8000_0000, "limit": JSON(0x8000_0000 + size - 1)] }
        return [
            "qdev_id": "rp", "bus": 0, "slot": 1, "function": 0, "regions": [],
            "pci_bridge": [
                "bus": ["prefetchable_range": window(prefetchable), "memory_range": window(other)], "devices": devices,
            ],
        ]
    }

    /// A result of query-pci.
    public static func buses(port: JSON) -> JSON {
        ["return": [["bus": 0, "devices": [["qdev_id": "", "bus": 0, "slot": 0, "function": 0], port]]]]
    }
}
