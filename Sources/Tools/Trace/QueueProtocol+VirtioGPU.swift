extension QueueProtocol {
    /// VIRTIO 1.2, section 5.7.6; what stands in fields has its names.
    static let virtioGPU = QueueProtocol(
        queues: ["controlq", "cursorq"], messages: twoDimensional.merging(rendering + cursor + responses) { $1 },
        // `virtio_gpu_ctrl_hdr`
        header: [
            .init("fence_id", 8, .number(8), .flag(0)), .init("ctx_id", 16, .number(4), .notZero),
            .init("ring_idx", 20, .number(1), .flag(1)),
        ])

    /// Sections 5.7.6.8 and 5.7.6.9
    private static let twoDimensional: [UInt32: Message] = [
        0x0100: .init("GET_DISPLAY_INFO"),
        0x0101: .init(
            "RESOURCE_CREATE_2D",
            [.init("resource_id", 24), .init("format", 28, .words(formats)), .init("width", 32), .init("height", 36)]),
        0x0102: .init("RESOURCE_UNREF", [.init("resource_id", 24)]),
        0x0103: .init(
            "SET_SCANOUT", [.init("scanout_id", 40), .init("resource_id", 44), .init("r", 24, .rectangle)]),
        0x0104: .init("RESOURCE_FLUSH", [.init("resource_id", 40), .init("r", 24, .rectangle)]),
        0x0105: .init(
            "TRANSFER_TO_HOST_2D",
            [.init("resource_id", 48), .init("r", 24, .rectangle), .init("offset", 40, .number(8))]),
        0x0106: .init("RESOURCE_ATTACH_BACKING", [.init("resource_id", 24), .init("nr_entries", 28)]),
        0x0107: .init("RESOURCE_DETACH_BACKING", [.init("resource_id", 24)]),
        0x0108: .init("GET_CAPSET_INFO", [.init("capset_index", 24)]),
        0x0109: .init("GET_CAPSET", [.init("capset_id", 24, .words(capsets)), .init("capset_version", 28)]),
        0x010a: .init("GET_EDID", [.init("scanout", 24)]),
        0x010b: .init("RESOURCE_ASSIGN_UUID", [.init("resource_id", 24)]),
        0x010c: .init(
            "RESOURCE_CREATE_BLOB",
            [
                .init("resource_id", 24), .init("blob_mem", 28, .words([1: "GUEST", 2: "HOST3D", 3: "HOST3D_GUEST"])),
                .init("blob_flags", 32, .hexadecimal(4)), .init("nr_entries", 36), .init("blob_id", 40, .number(8)),
                .init("size", 48, .number(8)),
            ]),
        0x010d: .init(
            "SET_SCANOUT_BLOB",
            [
                .init("scanout_id", 40), .init("resource_id", 44), .init("r", 24, .rectangle), .init("width", 48),
                .init("height", 52), .init("format", 56, .words(formats)), .init("strides", 64, .list(4)),
                .init("offsets", 80, .list(4)),
            ]),
    ]

    private static let rendering: [(UInt32, Message)] = [
        (
            0x0200,
            .init(
                "CTX_CREATE",
                [.init("context_init", 28, .hexadecimal(4), .notZero), .init("debug_name", 32, .text(64))])
        ),
        (0x0201, .init("CTX_DESTROY")),
        (0x0202, .init("CTX_ATTACH_RESOURCE", [.init("resource_id", 24)])),
        (0x0203, .init("CTX_DETACH_RESOURCE", [.init("resource_id", 24)])),
        (
            0x0204,
            .init(
                "RESOURCE_CREATE_3D",
                [
                    .init("resource_id", 24), .init("target", 28), .init("format", 32),
                    .init("bind", 36, .hexadecimal(4)), .init("width", 40), .init("height", 44), .init("depth", 48),
                    .init("array_size", 52), .init("last_level", 56), .init("nr_samples", 60),
                    .init("flags", 64, .hexadecimal(4), .notZero),
                ])
        ),
        (0x0205, .init("TRANSFER_TO_HOST_3D", transfer)), (0x0206, .init("TRANSFER_FROM_HOST_3D", transfer)),
        (0x0207, .init("SUBMIT_3D", [.init("size", 24)])),
        (0x0208, .init("RESOURCE_MAP_BLOB", [.init("resource_id", 24), .init("offset", 32, .number(8))])),
        (0x0209, .init("RESOURCE_UNMAP_BLOB", [.init("resource_id", 24)])),
    ]

    private static let transfer: [Field] = [
        .init("resource_id", 56), .init("box", 24, .box), .init("offset", 48, .number(8)), .init("level", 60),
        .init("stride", 64), .init("layer_stride", 68),
    ]

    /// Section 5.7.6.10
    private static let cursor: [(UInt32, Message)] = [
        (
            0x0300,
            .init(
                "UPDATE_CURSOR",
                position + [.init("resource_id", 40), .init("hot_x", 44), .init("hot_y", 48)])
        ),
        (0x0301, .init("MOVE_CURSOR", position)),
    ]

    /// `virtio_gpu_cursor_pos`
    private static let position: [Field] = [
        .init("scanout_id", 24), .init("x", 28, .signed), .init("y", 32, .signed),
    ]

    private static let responses: [(UInt32, Message)] = [
        (0x1100, .init("OK_NODATA")),
        (
            0x1101,
            .init(
                "OK_DISPLAY_INFO",
                // Of the first of sixteen.
                [.init("r", 24, .rectangle), .init("enabled", 40), .init("flags", 44, .hexadecimal(4), .notZero)])
        ),
        (
            0x1102,
            .init(
                "OK_CAPSET_INFO",
                [
                    .init("capset_id", 24, .words(capsets)), .init("capset_max_version", 28),
                    .init("capset_max_size", 32),
                ])
        ),
        (0x1103, .init("OK_CAPSET")), (0x1104, .init("OK_EDID", [.init("size", 24)])),
        (0x1105, .init("OK_RESOURCE_UUID")), (0x1106, .init("OK_MAP_INFO", [.init("map_info", 24)])),
        (0x1200, .init("ERR_UNSPEC")), (0x1201, .init("ERR_OUT_OF_MEMORY")),
        (0x1202, .init("ERR_INVALID_SCANOUT_ID")), (0x1203, .init("ERR_INVALID_RESOURCE_ID")),
        (0x1204, .init("ERR_INVALID_CONTEXT_ID")), (0x1205, .init("ERR_INVALID_PARAMETER")),
    ]

    /// `VIRTIO_GPU_FORMAT_…`
    private static let formats: [UInt32: String] = [
        1: "B8G8R8A8", 2: "B8G8R8X8", 3: "A8R8G8B8", 4: "X8R8G8B8", 67: "R8G8B8A8", 68: "X8B8G8R8", 121: "A8B8G8R8",
        134: "R8G8B8X8",
    ]

    /// `VIRTIO_GPU_CAPSET_…`
    private static let capsets: [UInt32: String] = [1: "VIRGL", 2: "VIRGL2", 4: "VENUS", 5: "CROSS_DOMAIN", 6: "DRM"]
}
