import Device
import PCI

/// What makes a PCI function a virtio device, as data: identity, BARs, capabilities and registers. VIRTIO 1.2, section
/// 4.1.
enum VirtioPCI {
    /// Section 4.1.2. A revision of 1 and a subsystem from 0x40 on say that the device is not a transitional one.
    static func identity(_ id: VirtioID) -> PCIIdentity {
        PCIIdentity(
            vendor: 0x1af4, device: 0x1040 + id.number, class: id.classCode, revision: 1, subsystemVendor: 0x1af4,
            subsystem: 0x1100)
    }

    // MARK: Options

    static let options = [
        DeviceType.Option(
            "packed", .boolean, default: "on",
            help: "Whether to offer packed virtqueues, with which drivers and device touch less memory"),
        DeviceType.Option(
            "event-index", .boolean, default: "on",
            help: "Whether to offer event indexes, with which fewer notifications are needed"),
    ]

    static func features(_ options: DeviceOptions) -> VirtioFeatures {
        var features: VirtioFeatures = [.version1, .indirectDescriptors, .accessPlatform, .ringReset]
        if options.boolean("packed") { features.insert(.packedRing) }
        if options.boolean("event-index") { features.insert(.eventIndex) }
        return features
    }

    // MARK: BARs

    /// The BAR with all structures.
    static let bar = 4
    /// The BAR with shared memory. It takes the next one's place as well.
    private static let sharedMemoryBAR = 0
    private static let pageSize: UInt64 = 4096

    /// The BAR with the MSI-X table. Firmware takes a memory BAR 2 for VGA.
    private static func tableBAR(_ sharedMemory: VirtioSharedMemory?) -> Int { sharedMemory == nil ? 1 : 3 }

    /// A page of the BAR.
    enum Structure: UInt64, CaseIterable {
        case common = 0
        case interruptStatus = 1
        case device = 2
        case notify = 3

        var offset: UInt64 { rawValue * pageSize }
    }

    static func structure(at offset: UInt64) -> (Structure, UInt64)? {
        Structure(rawValue: offset / pageSize).map { ($0, offset % pageSize) }
    }

    /// How far the notification addresses of two queues are apart: `notify_off_multiplier`.
    private static let notifyMultiplier: UInt64 = 4

    static func queue(notifiedAt place: UInt64) -> Int { Int(place / notifyMultiplier) }

    /// - Parameter queues: at most 1024.
    static func bars(queues: Int, _ sharedMemory: VirtioSharedMemory?) -> [BAR] {
        let shared = sharedMemory.map { region in
            var bar = BAR.memory(
                sharedMemoryBAR, size: UInt64(region.memory.size), prefetchable: true, is64Bit: true,
                memory: region.memory)
            bar.isTransient = true
            return [bar]
        }
        return (shared ?? []) + [
            .memory(tableBAR(sharedMemory), size: pageSize),
            .memory(
                bar, size: pageSize * UInt64(Structure.allCases.count), is64Bit: true,
                doorbells: (0..<queues).map {
                    Doorbell(at: Structure.notify.offset + notifyMultiplier * UInt64($0), width: .word)
                }),
        ]
    }

    /// One for each queue and one for changes of the configuration, as far as the table's page has room.
    static func vectors(queues: Int) -> Int { min(queues + 1, 128) }

    // MARK: Capabilities

    /// - Parameter configuration: the length of the device configuration structure, in bytes.
    static func capabilities(
        vectors: Int, configuration: Int, _ sharedMemory: VirtioSharedMemory?
    ) -> [Capability] {
        let tableBAR = tableBAR(sharedMemory)
        // The registers up to queue_reset: those that follow belong to features that are not offered.
        let commonLength = 0x3c
        var list: [Capability] = [
            .powerManagement,
            .pciExpress,
            .msix(vectors: vectors, tableBAR: tableBAR, tableOffset: 0, pendingBAR: tableBAR, pendingOffset: 0x800),
            .vendor(structure(.common, length: commonLength)),
            .vendor(structure(.interruptStatus, length: 1)),
            .vendor(structure(.notify, length: Int(pageSize)) + bytes(UInt32(notifyMultiplier))),
            // VIRTIO_PCI_CAP_PCI_CFG: type 5, and all else for the driver to write.
            .vendor([5] + [UInt8](repeating: 0, count: 16), window: BARWindow(bar: 4, offset: 8, length: 12, data: 16)),
        ]
        if configuration > 0 { list.append(.vendor(structure(.device, length: configuration))) }
        if let sharedMemory { list.append(.vendor(structure(sharedMemory))) }
        return list
    }

    /// `virtio_pci_cap` behind its first three bytes: cfg_type, bar, id, padding, offset, length. Section 4.1.4.
    private static func structure(_ structure: Structure, length: Int) -> [UInt8] {
        let type: UInt8 =
            switch structure {
            case .common: 1
            case .notify: 2
            case .interruptStatus: 3
            case .device: 4
            }
        return [type, UInt8(bar), 0, 0, 0] + bytes(UInt32(structure.offset)) + bytes(UInt32(length))
    }

    /// `virtio_pci_cap64`: VIRTIO_PCI_CAP_SHARED_MEMORY_CFG with an offset of 0, and a length in two halves. Section
    /// 4.1.4.7.
    private static func structure(_ region: VirtioSharedMemory) -> [UInt8] {
        let length = UInt64(region.memory.size)
        return [8, UInt8(sharedMemoryBAR), region.id, 0, 0] + bytes(0) + bytes(UInt32(truncatingIfNeeded: length))
            + bytes(0) + bytes(UInt32(length >> 32))
    }

    private static func bytes(_ number: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    // MARK: Registers

    /// `virtio_pci_common_cfg`, section 4.1.4.3.
    static let registers: RegisterMap<Register> = [
        .init(.deviceFeatureSelect, at: 0x00, width: .dword),
        .init(.deviceFeature, at: 0x04, width: .dword, access: .readOnly),
        .init(.driverFeatureSelect, at: 0x08, width: .dword),
        .init(.driverFeature, at: 0x0c, width: .dword),
        .init(.configMSIXVector, at: 0x10, width: .word),
        .init(.numQueues, at: 0x12, width: .word, access: .readOnly),
        .init(.deviceStatus, at: 0x14, width: .byte),
        .init(.configGeneration, at: 0x15, width: .byte, access: .readOnly),

        .init(.queueSelect, at: 0x16, width: .word),
        .init(.queueSize, at: 0x18, width: .word),
        .init(.queueMSIXVector, at: 0x1a, width: .word),
        .init(.queueEnable, at: 0x1c, width: .word),
        .init(.queueNotifyOffset, at: 0x1e, width: .word, access: .readOnly),
        .init(.queueDescriptors, at: 0x20, width: .qword),
        .init(.queueDriver, at: 0x28, width: .qword),
        .init(.queueDevice, at: 0x30, width: .qword),
        // queue_notify_data at 0x38 belongs to VIRTIO_F_NOTIF_CONFIG_DATA.
        .init(.queueReset, at: 0x3a, width: .word),
    ]

    /// All that have a place of their own in the BAR, whatever the device is.
    static let registerNames =
        registers.names(bar: bar, from: Structure.common.offset, fields: fields)
        + [
            RegisterName(
                name: "isr", bar: bar, offset: Structure.interruptStatus.offset, width: 1, isReadable: true,
                isWritable: false, fields: .flags("queue", "configuration"))
        ]

    /// A register of the device's own, whose offset counts from the beginning of its configuration structure.
    static func inDeviceConfiguration(_ register: RegisterName) -> RegisterName {
        var register = register
        register.bar = bar
        register.offset += Structure.device.offset
        return register
    }

    /// What the bits say. The feature registers' depend on which word of them is selected, which no access tells.
    private static func fields(_ register: Register) -> [RegisterField] {
        switch register {
        case .deviceStatus:
            .flags("ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK") + .flags("NEEDS_RESET", "FAILED", from: 6)
        case .queueEnable: [.flag("enabled", 0)]
        case .queueReset: [.flag("reset", 0)]
        default: []
        }
    }

    enum Register {
        case deviceFeatureSelect, deviceFeature, driverFeatureSelect, driverFeature
        case configMSIXVector, numQueues, deviceStatus, configGeneration
        case queueSelect, queueSize, queueMSIXVector, queueEnable, queueNotifyOffset
        case queueDescriptors, queueDriver, queueDevice, queueReset
    }
}
