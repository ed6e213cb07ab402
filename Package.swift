// swift-tools-version: 6.1
import PackageDescription

/// The layers, lowest first. A target may use what stands above it in this file, never below.
let package = Package(
    name: "Mediated",
    products: [
        .executable(name: "mediated", targets: ["mediated"]),
        .executable(name: "mediated-daemon", targets: ["mediated-daemon"]),
        .executable(name: "mediated-device", targets: ["mediated-device"]),
        .executable(name: "mediated-renderer", targets: ["mediated-renderer"]),
        .library(
            name: "Mediated",
            targets: [
                "Linux", "JSON", "VFIO", "GuestMemory", "PCI", "Device", "Virtio", "Exerciser", "DeviceCatalog",
                "VFIOUser", "KVM",
            ]),
        .library(name: "Renderer", targets: ["Renderer"]),
        .library(name: "FakeGuest", targets: ["FakeGuest", "FakeDriver", "EchoDevice"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.65.0"),
        // From 5.1 on it hashes keys, which takes exponential time where they are aliases of aliases.
        .package(url: "https://github.com/jpsim/Yams", .upToNextMinor(from: "5.0.1")),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "Text"),
        .target(
            name: "Linux",
            dependencies: ["CLinux", "Text", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "JSON", dependencies: ["Text"], swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "VFIO", dependencies: ["CLinux", "JSON"]),
        .target(name: "GuestMemory", dependencies: ["CLinux", "Linux"]),
        .target(name: "PCI"),
        .target(name: "Device", dependencies: ["Linux", "GuestMemory", "PCI", "JSON"]),
        .target(name: "Virtio", dependencies: ["Linux", "GuestMemory", "PCI", "Device"]),
        .target(
            name: "VirtioEntropy", dependencies: ["Device", "Virtio", "Linux"], path: "Sources/Devices/VirtioEntropy"),
        .target(name: "SerialCard", dependencies: ["Linux", "PCI", "Device"], path: "Sources/Devices/SerialCard"),
        .target(name: "Display", dependencies: ["Device"], path: "Sources/Devices/Display"),
        .target(name: "Renderer", dependencies: ["Linux", "Text"], path: "Sources/Backends/Renderer"),
        .target(
            name: "VirtioGPU",
            dependencies: ["CLinux", "Linux", "GuestMemory", "Device", "Display", "Renderer", "Virtio"],
            path: "Sources/Devices/VirtioGPU"),
        .target(
            name: "BochsDisplay", dependencies: ["Linux", "PCI", "Device", "Display"],
            path: "Sources/Devices/BochsDisplay"),
        .target(
            name: "Exerciser", dependencies: ["GuestMemory", "Linux", "PCI", "Device"],
            path: "Sources/Devices/Exerciser"),
        .target(name: "TutorialDevice", dependencies: ["PCI", "Device"], path: "Examples/TutorialDevice"),
        .target(
            name: "VFIOUser", dependencies: ["Linux", "VFIO", "GuestMemory", "Device"],
            swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .executableTarget(
            name: "bell", dependencies: ["Device", "Linux", "TutorialDevice", "VFIOUser"],
            path: "Examples/TutorialServer"),
        .target(
            name: "DeviceCatalog",
            dependencies: [
                "Device", "BochsDisplay", "SerialCard", "Exerciser", "Virtio", "VirtioEntropy", "VirtioGPU",
            ],
            path: "Sources/Devices/Catalog"),
        .systemLibrary(
            name: "CVirglrenderer", path: "Sources/Backends/CVirglrenderer", pkgConfig: "virglrenderer",
            providers: [.apt(["libvirglrenderer-dev"])]),
        .target(name: "Virgl", dependencies: ["CVirglrenderer", "Linux", "Renderer"], path: "Sources/Backends/Virgl"),
        .executableTarget(name: "mediated-renderer", dependencies: ["Linux", "Renderer", "Virgl"]),
        .target(name: "CKVM", path: "Sources/Hypervisors/CKVM"),
        .target(
            name: "KVM", dependencies: ["CKVM", "CLinux", "Linux", "VFIO", "VFIOUser"],
            path: "Sources/Hypervisors/KVM"),
        .target(name: "Control", dependencies: ["Linux", "Device", "JSON"]),
        .target(
            name: "Mediation", dependencies: ["Control", "Device", "DeviceCatalog", "JSON", "Linux"]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .target(name: "Database", dependencies: ["CSQLite", "Linux", "Mediation"]),
        .target(
            name: "Profiles",
            dependencies: [
                "Device", "DeviceCatalog", "Display", "Linux", "Mediation", .product(name: "Yams", package: "Yams"),
            ]),
        .target(name: "Metrics", dependencies: ["JSON", "Text"]),
        .target(name: "QMP", dependencies: ["Linux", "JSON"]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .target(name: "PNG", dependencies: ["CPNG", "Linux", "Device"]),
        .target(name: "DaemonAPI", dependencies: ["JSON"]),
        .target(
            name: "DaemonClient",
            dependencies: [
                "DaemonAPI", "JSON", "Linux",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .target(
            name: "Daemon",
            dependencies: [
                "Device", "Control", "Database", "DaemonAPI", "JSON", "Linux", "Mediation", "Metrics", "PNG",
                "Profiles",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .executableTarget(
            name: "mediated-daemon",
            dependencies: [
                "Control", "Daemon", "Linux", "Mediation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(
            name: "mediated-device",
            dependencies: ["Control", "Device", "DeviceCatalog", "JSON", "Linux", "VFIOUser"]),
        .executableTarget(
            name: "mediated",
            dependencies: [
                "Linux", "JSON", "VFIO", "PCI", "Device", "DeviceCatalog", "VFIOUser", "Control", "DaemonAPI",
                "DaemonClient", "Mediation", "Metrics", "QMP", "PNG", "KVM", "Text",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "FakeGuest",
            dependencies: ["CCredentials", "CLinux", "Linux", "VFIO", "Device", "DeviceCatalog", "VFIOUser"],
            path: "Testing/FakeGuest"),
        .target(name: "CCredentials", path: "Testing/CCredentials"),
        .target(
            name: "FakeDriver", dependencies: ["Device", "FakeGuest", "Linux", "VFIOUser"], path: "Testing/FakeDriver"),
        .target(name: "EchoDevice", dependencies: ["Virtio", "Device", "Linux"], path: "Testing/EchoDevice"),
        .target(name: "FakeQEMU", dependencies: ["JSON", "Linux"], path: "Testing/FakeQEMU"),
        .target(name: "LingeringSocket", dependencies: ["Linux"], path: "Testing/LingeringSocket"),
        .target(name: "SeededRandom", path: "Testing/SeededRandom"),
        .target(name: "StoreModel", dependencies: ["Mediation", "SeededRandom"], path: "Testing/StoreModel"),
        .executableTarget(
            name: "StoreWriter", dependencies: ["Database", "Linux", "StoreModel"], path: "Testing/StoreWriter"),
        .target(name: "CSystemCall", path: "Testing/CSystemCall"),
        .executableTarget(
            name: "SandboxProbe", dependencies: ["CLinux", "CSystemCall", "Linux"], path: "Testing/SandboxProbe"),
        .target(name: "Lab", path: "Testing/Lab"),
        .target(name: "Programs", path: "Testing/Programs"),

        .testTarget(name: "LinuxTests", dependencies: ["CLinux", "FakeGuest", "LingeringSocket", "Linux"]),
        .testTarget(name: "GuestMemoryTests", dependencies: ["SeededRandom", "GuestMemory", "Linux", "CLinux"]),
        .testTarget(name: "PCITests", dependencies: ["SeededRandom", "PCI"]),
        .testTarget(name: "TextTests", dependencies: ["Text"]),
        .testTarget(name: "JSONTests", dependencies: ["SeededRandom", "JSON"]),
        .testTarget(
            name: "VirtioGPUTests",
            dependencies: [
                "CLinux", "Control", "Device", "Display", "FakeDriver", "FakeGuest", "GuestMemory", "JSON", "Linux",
                "Programs",
                "Renderer", "SeededRandom", "VFIOUser", "Virtio", "VirtioGPU", "mediated-device", "mediated-renderer",
            ]),
        .testTarget(name: "DisplayTests", dependencies: ["Display"]),
        .testTarget(
            name: "BochsDisplayTests", dependencies: ["Device", "Display", "Linux", "SeededRandom", "BochsDisplay"]),
        .testTarget(name: "ExerciserTests", dependencies: ["Device", "GuestMemory", "Linux", "Exerciser"]),
        .testTarget(name: "DeviceTests", dependencies: ["Linux", "Device"]),
        .testTarget(
            name: "TutorialTests",
            dependencies: ["bell", "Device", "Linux", "Programs", "TutorialDevice", "VFIO", "VFIOUser"]),
        .testTarget(
            name: "SerialCardTests", dependencies: ["PCI", "SerialCard", "Device", "LingeringSocket", "Linux"]),
        .testTarget(
            name: "VirtioTests",
            dependencies: [
                "SeededRandom", "EchoDevice", "FakeDriver", "FakeGuest", "Virtio", "VirtioEntropy", "GuestMemory",
                "VFIOUser",
                "Device", "Linux",
            ]),
        .testTarget(name: "VFIOTests", dependencies: ["VFIO"]),
        .testTarget(
            name: "VFIOUserTests",
            dependencies: [
                "SeededRandom", "CLinux", "FakeGuest", "LingeringSocket", "VFIOUser", "VFIO", "Device", "PCI",
                "GuestMemory", "Linux",
            ]),
        .testTarget(
            name: "ClientTests",
            dependencies: ["GuestMemory", "PCI", "FakeGuest", "VFIOUser", "VFIO", "Device", "Linux"]),
        .testTarget(
            name: "KVMTests", dependencies: ["VFIO", "FakeGuest", "KVM", "VFIOUser", "Linux", "Device"],
            exclude: ["Guests"]),
        .testTarget(
            name: "ControlTests", dependencies: ["Device", "JSON", "Linux", "Control", "LingeringSocket", "PCI"]),
        .testTarget(name: "QMPTests", dependencies: ["FakeQEMU", "QMP", "JSON", "Linux"]),
        .testTarget(name: "MetricsTests", dependencies: ["Metrics", "JSON"]),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "Device", "CPNG", "Control", "DaemonAPI", "DaemonClient", "FakeGuest", "FakeQEMU", "JSON", "KVM", "Lab",
                "Linux",
                "Mediation", "Metrics", "Programs", "SeededRandom", "VFIO", "VFIOUser", "mediated", "mediated-daemon",
                "mediated-device", "mediated-renderer",
            ]),
        .testTarget(
            name: "GuestTests",
            dependencies: [
                "Control", "Device", "JSON", "Lab", "Linux", "Programs", "QMP", "mediated", "mediated-daemon",
                "mediated-device", "mediated-renderer",
            ]),
        .testTarget(name: "RendererTests", dependencies: ["mediated-renderer", "Renderer", "Linux"]),
        .testTarget(
            name: "SandboxTests",
            dependencies: [
                "Control", "Device", "DeviceCatalog", "FakeGuest", "JSON", "LingeringSocket", "Linux", "Programs",
                "SandboxProbe",
                "VFIO",
                "VFIOUser", "mediated-device",
            ]),
        .testTarget(
            name: "MediationTests",
            dependencies: [
                "Control", "Database", "Device", "FakeGuest", "JSON", "LingeringSocket", "Linux", "Mediation",
                "Programs", "VFIOUser", "mediated-device",
            ]),
        .testTarget(
            name: "DatabaseTests",
            dependencies: [
                "CSQLite", "Database", "Linux", "Mediation", "Programs", "SeededRandom", "StoreModel", "StoreWriter",
            ]),
        .testTarget(name: "ProfileTests", dependencies: ["DeviceCatalog", "Mediation", "Profiles", "SeededRandom"]),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "CCredentials", "FakeDriver", "FakeGuest", "JSON", "Lab", "LingeringSocket", "Linux", "Programs",
                "SeededRandom", "VFIOUser", "mediated-daemon", "mediated-device", "mediated-renderer",
            ]),
        .testTarget(
            name: "NeighbourTests",
            dependencies: ["Control", "FakeGuest", "Linux", "Programs", "SeededRandom", "VFIO", "mediated-device"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .testTarget(
            name: "AllocationTests",
            dependencies: ["CAllocationCounter", "Device", "Exerciser", "Linux", "VFIO", "VFIOUser"]),
    ]
)

for target in package.targets where ![.system, .plugin].contains(target.type) {
    target.swiftSettings = [.enableExperimentalFeature("Lifetimes")]
}
