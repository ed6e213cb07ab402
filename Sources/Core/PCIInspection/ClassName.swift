import PCI

extension PCIClass {
    /// What it is called: by base class and subclass, or by the base class alone where the subclass is unknown.
    var name: String {
        Self.subclasses[UInt16(base) << 8 | UInt16(sub)] ?? Self.bases[base] ?? "Unknown class"
    }

    /// PCI Code and ID Assignment Specification, section 1.
    private static let bases: [UInt8: String] = [
        0x00: "Unclassified device", 0x01: "Mass storage controller", 0x02: "Network controller",
        0x03: "Display controller", 0x04: "Multimedia controller", 0x05: "Memory controller", 0x06: "Bridge",
        0x07: "Communication controller", 0x08: "System peripheral", 0x09: "Input device controller",
        0x0a: "Docking station", 0x0b: "Processor", 0x0c: "Serial bus controller", 0x0d: "Wireless controller",
        0x0e: "Intelligent controller", 0x0f: "Satellite communications controller",
        0x10: "Encryption controller", 0x11: "Signal processing controller", 0x12: "Processing accelerators",
        0x13: "Non-essential instrumentation", 0x40: "Coprocessor", 0xff: "Unassigned class",
    ]

    private static let subclasses: [UInt16: String] = [
        0x0001: "VGA compatible unclassified device",
        0x0100: "SCSI storage controller", 0x0101: "IDE interface", 0x0102: "Floppy disk controller",
        0x0104: "RAID bus controller", 0x0105: "ATA controller", 0x0106: "SATA controller",
        0x0107: "Serial Attached SCSI controller", 0x0108: "Non-Volatile memory controller",
        0x0109: "Universal Flash Storage controller",
        0x0200: "Ethernet controller", 0x0201: "Token ring network controller", 0x0203: "ATM network controller",
        0x0204: "ISDN controller", 0x0207: "InfiniBand controller", 0x0208: "Fabric controller",
        0x0300: "VGA compatible controller", 0x0301: "XGA compatible controller", 0x0302: "3D controller",
        0x0400: "Multimedia video controller", 0x0401: "Multimedia audio controller",
        0x0402: "Computer telephony device", 0x0403: "Audio device",
        0x0500: "RAM memory", 0x0501: "Flash memory", 0x0502: "CXL memory",
        0x0600: "Host bridge", 0x0601: "ISA bridge", 0x0604: "PCI bridge", 0x0607: "CardBus bridge",
        0x0700: "Serial controller", 0x0701: "Parallel controller", 0x0702: "Multiport serial controller",
        0x0703: "Modem", 0x0704: "GPIB controller", 0x0705: "Smart card controller",
        0x0800: "Interrupt controller", 0x0801: "DMA controller", 0x0802: "Timer", 0x0803: "Real-time clock",
        0x0804: "PCI Hot-plug controller", 0x0805: "SD Host controller", 0x0806: "IOMMU",
        0x0900: "Keyboard controller", 0x0901: "Digitizer", 0x0902: "Mouse controller",
        0x0903: "Scanner controller", 0x0904: "Gameport controller",
        0x0b40: "Co-processor",
        0x0c00: "FireWire controller", 0x0c03: "USB controller", 0x0c04: "Fibre Channel controller",
        0x0c05: "SMBus controller", 0x0c06: "InfiniBand controller", 0x0c07: "IPMI interface",
        0x0c09: "CAN bus controller",
        0x0d00: "IrDA controller", 0x0d10: "RF controller", 0x0d11: "Bluetooth controller",
        0x1000: "Network and computing encryption device", 0x1010: "Entertainment encryption device",
        0x1200: "Processing accelerators", 0x1201: "SNIA Smart Data Accelerator Interface controller",
    ]
}
