// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "Mediated",
    products: [
        .executable(name: "mediated", targets: ["mediated"]),
        .executable(name: "mediated-daemon", targets: ["mediated-daemon"]),
        .executable(name: "mediated-device", targets: ["mediated-device"]),
        .executable(name: "mediated-renderer", targets: ["mediated-renderer"]),
        .executable(name: "mediated-bridge", targets: ["mediated-bridge"]),
        .library(
            name: "Mediated",
            targets: [
                "Linux", "JSON", "VFIO", "Tap", "Alteration", "GuestMemory", "PCI", "Device", "Virtio", "Exerciser",
                "DeviceCatalog",
                "VFIOUserServer", "VFIOUserClient", "KVM", "Xen", "Trace",
                "Injection", "Control", "Recording", "Replay",
            ]),
        .library(name: "Drivers", targets: ["VirtioGPUDriver", "VTest"]),
        .library(name: "Renderer", targets: ["SharedRing", "Worker", "Renderer"]),
        .library(name: "FakeGuest", targets: ["FakeGuest", "FakeDriver", "EchoDevice", "ScriptedGPU"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.65.0"),
        // From 5.1 on it hashes keys, which takes exponential time where they are aliases of aliases.
        .package(url: "https://github.com/jpsim/Yams", .upToNextMinor(from: "5.0.1")),
    ]
)

/// Targets whose folders, of the targets' own names, lie in one.
func room(_ folder: String, _ targets: [Target]) -> [Target] {
    for target in targets where target.path == nil { target.path = "\(folder)/\(target.name)" }
    return targets
}

/// The layers, lowest first. A target may use what stands above it in this file, never below.
package.targets = [
    room(
        "Sources/System",
        [
            .systemLibrary(
                name: "CVirglrenderer", pkgConfig: "virglrenderer", providers: [.apt(["libvirglrenderer-dev"])]),
            .target(name: "CVulkan"),
            .target(name: "CKVM"),
            .target(name: "CXen"),
            .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
            .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        ]),
    room(
        "Sources/Base",
        [
            .target(name: "CLinux"),
            .target(name: "Text"),
            .target(
                name: "Linux",
                dependencies: ["CLinux", "Text", .product(name: "SystemPackage", package: "swift-system")]),
            .target(name: "JSON", dependencies: ["Text"]),
        ]),
    room(
        "Sources/Core",
        [
            .target(name: "SharedRing", dependencies: ["Linux"]),
            .target(name: "Tap", dependencies: ["Linux", "SharedRing"]),
            .target(name: "Alteration", dependencies: ["Linux", "Tap"]),
            .target(name: "GuestMemory", dependencies: ["Alteration", "Linux", "Tap"]),
            .target(name: "PCI"),
            .target(name: "PCIInspection", dependencies: ["JSON", "PCI"]),
            .target(name: "Device", dependencies: ["Alteration", "Linux", "GuestMemory", "PCI", "JSON", "Tap"]),
            .target(name: "Virtio", dependencies: ["Linux", "GuestMemory", "PCI", "Device", "JSON", "Tap"]),
            .target(name: "Display", dependencies: ["Device"]),
        ]),
    room(
        "Sources/Backends",
        [
            .target(name: "Worker", dependencies: ["Linux", "SharedRing", "Tap", "Text"]),
            .target(name: "Renderer", dependencies: ["Linux", "Worker"]),
            .target(name: "Virgl", dependencies: ["CVirglrenderer", "CVulkan", "Linux", "Renderer", "Worker"]),
        ]),
    room(
        "Sources/Devices",
        [
            .target(name: "VirtioEntropy", dependencies: ["Device", "Virtio", "Linux"]),
            .target(name: "SerialCard", dependencies: ["Linux", "PCI", "Device", "Tap"]),
            .target(
                name: "VirtioGPU",
                dependencies: [
                    "CLinux", "Linux", "GuestMemory", "Device", "Display", "PCI", "Renderer", "Virtio", "Worker",
                ]),
            .target(name: "BochsDisplay", dependencies: ["Linux", "PCI", "Device", "Display"]),
            .target(name: "Exerciser", dependencies: ["GuestMemory", "Linux", "PCI", "Device"]),
            .target(
                name: "DeviceCatalog",
                dependencies: [
                    "Device", "BochsDisplay", "SerialCard", "Exerciser", "Virtio", "VirtioEntropy", "VirtioGPU",
                ]),
        ]),
    room(
        "Sources/Transports",
        [
            .target(name: "VFIO", dependencies: ["CLinux", "JSON", "PCI"]),
            .target(name: "VFIOUserWire", dependencies: ["Linux", "SharedRing", "VFIO"]),
            .target(
                name: "VFIOUserServer",
                dependencies: [
                    "Alteration", "Linux", "SharedRing", "VFIO", "VFIOUserWire", "PCI", "GuestMemory", "Device", "Tap",
                ]),
            .target(name: "VFIOUserClient", dependencies: ["Linux", "PCI", "SharedRing", "VFIO", "VFIOUserWire"]),
            .target(
                name: "KVM",
                dependencies: ["CKVM", "CLinux", "Linux", "PCI", "Device", "VFIO", "VFIOUserClient"]),
            .target(name: "Xen", dependencies: ["CXen", "Linux", "PCI", "GuestMemory", "Device"]),
            .target(name: "XenSlot", dependencies: ["PCI"]),
        ]),
    room(
        "Sources/Drivers",
        [
            .target(name: "VirtioGPUDriver", dependencies: ["CLinux", "Linux", "PCI", "VFIO", "VFIOUserClient"]),
            .target(name: "VTest", dependencies: ["CLinux", "Linux", "Text", "VirtioGPUDriver"]),
        ]),
    room(
        "Sources/Tools",
        [
            .target(name: "QMP", dependencies: ["Linux", "JSON"]),
            .target(name: "PNG", dependencies: ["CPNG", "Linux", "Device"]),
            .target(
                name: "Replay",
                dependencies: ["Device", "DeviceCatalog", "GuestMemory", "JSON", "Linux", "PCI", "Tap"]),
            .target(name: "Trace", dependencies: ["Device", "JSON", "PCI", "PCIInspection", "Tap", "VFIO"]),
            .target(
                name: "Recording", dependencies: ["Device", "Linux", "PCI", "Tap"],
                resources: [.embedInCode("Dissector/vfio_user.lua")]),
            .target(
                name: "Observer", dependencies: ["CLinux", "JSON", "Linux", "PCI", "VFIO", "VFIOUserWire"]),
            .target(name: "Injection", dependencies: ["Alteration", "Device", "Linux", "Tap", "Trace"]),
        ]),
    room(
        "Sources/ControlPlane",
        [
            .target(
                name: "Control",
                dependencies: [
                    "Device", "GuestMemory", "Injection", "JSON", "Linux", "PCI", "SharedRing", "Tap", "Trace",
                    "XenSlot",
                ]),
            .target(name: "Mediation", dependencies: ["Device", "DeviceCatalog", "JSON", "Linux", "XenSlot"]),
            .target(
                name: "Supervision",
                dependencies: ["Control", "Device", "Linux", "Mediation", "PCI", "Renderer", "XenSlot"]),
            .target(name: "Database", dependencies: ["CSQLite", "Linux", "Mediation", "PCI", "XenSlot"]),
            .target(
                name: "Profiles",
                dependencies: [
                    "Device", "DeviceCatalog", "Display", "Linux", "Mediation", .product(name: "Yams", package: "Yams"),
                ]),
            .target(name: "Metrics", dependencies: ["JSON", "PCI", "Text"]),
            .target(name: "DaemonAPI", dependencies: ["JSON"]),
            .target(
                name: "DaemonClient",
                dependencies: [
                    "DaemonAPI", "JSON", "Linux", .product(name: "NIOCore", package: "swift-nio"),
                    .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                ]),
            .target(
                name: "Daemon",
                dependencies: [
                    "Device", "Control", "Database", "DaemonAPI", "JSON", "Linux", "Mediation", "Metrics", "PCI", "PNG",
                    "Profiles", "Supervision", .product(name: "Logging", package: "swift-log"),
                    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                    .product(name: "NIOPosix", package: "swift-nio"),
                ]),
        ]),
    room(
        "Sources/Programs",
        [
            .executableTarget(
                name: "mediated-renderer", dependencies: ["JSON", "Linux", "Renderer", "Virgl", "Worker"]),
            .executableTarget(
                name: "mediated-bridge", dependencies: ["Linux", "VFIOUserClient", "VTest", "VirtioGPUDriver"]),
            .executableTarget(
                name: "mediated-daemon",
                dependencies: [
                    "Control", "Daemon", "Linux", "Mediation",
                    .product(name: "ArgumentParser", package: "swift-argument-parser"),
                ]),
            .executableTarget(
                name: "mediated-device",
                dependencies: [
                    "Control", "Device", "DeviceCatalog", "GuestMemory", "JSON", "Linux", "PCI", "Tap",
                    "VFIOUserServer",
                    "Xen", "XenSlot",
                ]),
            .executableTarget(
                name: "mediated",
                dependencies: [
                    "Linux", "JSON", "VFIO", "PCI", "PCIInspection", "GuestMemory", "Device", "DeviceCatalog",
                    "VFIOUserClient",
                    "Control",
                    "DaemonAPI",
                    "DaemonClient", "Injection", "Mediation", "Metrics", "Observer", "Profiles", "QMP", "PNG", "KVM",
                    "Recording", "Replay", "Tap", "Text",
                    "Trace", "VFIOUserServer", "VTest", "XenSlot",
                    .product(name: "ArgumentParser", package: "swift-argument-parser"),
                ]),
        ]),
    room(
        "Examples",
        [
            .target(name: "TutorialDevice", dependencies: ["PCI", "Device"]),
            .executableTarget(
                name: "bell", dependencies: ["Device", "Linux", "TutorialDevice", "VFIOUserServer"],
                path: "Examples/TutorialServer"),
        ]),
    room(
        "Testing",
        [
            .target(name: "Waiting", dependencies: ["Linux"]),
            .target(name: "CCredentials"),
            .target(
                name: "FakeGuest",
                dependencies: [
                    "CCredentials", "Linux", "VFIO", "Device", "DeviceCatalog", "Observer", "VFIOUserClient",
                    "VFIOUserServer", "Tap",
                ]),
            .target(
                name: "FakeDriver", dependencies: ["Device", "FakeGuest", "Linux", "VFIOUserClient"]),
            .target(
                name: "ScriptedGPU", dependencies: ["CLinux", "Linux", "VTest", "VFIOUserClient", "VirtioGPUDriver"]),
            .executableTarget(
                name: "GLProgram",
                linkerSettings: [.linkedLibrary("EGL"), .linkedLibrary("GLESv2"), .linkedLibrary("m")]),
            .target(name: "EchoDevice", dependencies: ["Virtio", "Device", "Linux"]),
            .target(name: "FakeDomains", dependencies: ["Linux", "Programs"]),
            .target(name: "FakeQEMU", dependencies: ["JSON", "Linux", "Waiting"]),
            .target(name: "LingeringSocket", dependencies: ["Linux"]),
            .target(name: "SeededRandom"),
            .target(name: "StoreModel", dependencies: ["Mediation", "PCI", "SeededRandom", "XenSlot"]),
            .executableTarget(name: "StoreWriter", dependencies: ["Database", "Linux", "StoreModel"]),
            .target(name: "CSystemCall"),
            .executableTarget(name: "SandboxProbe", dependencies: ["CLinux", "CSystemCall", "Linux"]),
            .target(name: "CXenDomain"),
            .target(name: "CStepCounter"),
            .executableTarget(name: "XenFloor", dependencies: ["CXen"]),
            .executableTarget(
                name: "XenProbe",
                dependencies: [
                    "CStepCounter", "CXen", "CXenDomain", "Control", "Device", "DeviceCatalog", "GuestMemory", "Linux",
                    "PCI", "Xen",
                ]),
            .target(name: "Programs"),
            .target(name: "Lab", dependencies: ["Programs"]),
            .executableTarget(name: "XenFigures", dependencies: ["Lab"]),
            .target(name: "RunningDaemon", dependencies: ["Linux", "Programs"]),
            .target(name: "CAllocationCounter"),
        ]),
    room(
        "Tests/Base",
        [
            .testTarget(
                name: "LinuxTests", dependencies: ["CLinux", "FakeGuest", "LingeringSocket", "Linux", "Programs"]),
            .testTarget(name: "TextTests", dependencies: ["Text"]),
            .testTarget(name: "JSONTests", dependencies: ["SeededRandom", "JSON"]),
        ]),
    room(
        "Tests/Core",
        [
            .testTarget(name: "TapTests", dependencies: ["Linux", "SharedRing", "Tap"]),
            .testTarget(name: "GuestMemoryTests", dependencies: ["SeededRandom", "GuestMemory", "Linux", "CLinux"]),
            .testTarget(name: "SharedRingTests", dependencies: ["Linux", "SharedRing"]),
            .testTarget(name: "PCITests", dependencies: ["SeededRandom", "PCI"]),
            .testTarget(name: "DisplayTests", dependencies: ["Display"]),
            .testTarget(
                name: "DeviceTests", dependencies: ["Linux", "Device", "JSON", "PCI", "Programs", "SeededRandom"]),
            .testTarget(
                name: "VirtioTests",
                dependencies: [
                    "SeededRandom", "EchoDevice", "FakeDriver", "FakeGuest", "Virtio", "VirtioEntropy", "GuestMemory",
                    "VFIOUserClient", "VFIOUserServer", "Device", "JSON", "Linux", "Tap",
                ]),
        ]),
    room(
        "Tests/Backends",
        [
            .testTarget(name: "WorkerTests", dependencies: ["FakeGuest", "Linux", "SharedRing", "Waiting", "Worker"]),
            .testTarget(
                name: "RendererTests",
                dependencies: [
                    "mediated-renderer", "CLinux", "JSON", "Lab", "Programs", "Renderer", "Linux", "SharedRing",
                    "Waiting",
                    "Worker",
                ]),
        ]),
    room(
        "Tests/Devices",
        [
            .testTarget(
                name: "VirtioGPUTests",
                dependencies: [
                    "CLinux", "Control", "Device", "Display", "FakeDriver", "FakeGuest", "GuestMemory", "JSON", "Linux",
                    "Programs", "Renderer", "SeededRandom", "VFIOUserClient", "Virtio", "VirtioGPU", "Waiting",
                    "Worker",
                    "mediated-device",
                    "mediated-renderer",
                ]),
            .testTarget(
                name: "BochsDisplayTests", dependencies: ["Device", "Display", "Linux", "SeededRandom", "BochsDisplay"]),
            .testTarget(name: "ExerciserTests", dependencies: ["Device", "GuestMemory", "Linux", "PCI", "Exerciser"]),
            .testTarget(
                name: "TutorialTests",
                dependencies: [
                    "bell", "Device", "Injection", "Linux", "PCI", "Programs", "Tap", "Trace", "TutorialDevice", "VFIO",
                    "VFIOUserClient", "Waiting",
                ]),
            .testTarget(
                name: "SerialCardTests",
                dependencies: ["PCI", "SerialCard", "Device", "FakeGuest", "LingeringSocket", "Linux", "Programs"]),
            .testTarget(
                name: "SavedStateTests",
                dependencies: [
                    "Device", "DeviceCatalog", "EchoDevice", "FakeDriver", "FakeGuest", "Linux", "Programs", "VFIO",
                    "VFIOUserClient", "Virtio",
                ],
                exclude: ["Fixtures"]),
        ]),
    room(
        "Tests/Transports",
        [
            .testTarget(name: "VFIOTests", dependencies: ["VFIO"]),
            .testTarget(
                name: "VFIOUserServerTests",
                dependencies: [
                    "Alteration", "SeededRandom", "CLinux", "FakeGuest", "LingeringSocket", "VFIOUserClient",
                    "VFIOUserServer", "VFIO", "Device", "PCI",
                    "GuestMemory", "Injection", "Linux", "Tap", "Trace",
                ]),
            .testTarget(
                name: "VFIOUserClientTests",
                dependencies: [
                    "GuestMemory", "PCI", "FakeGuest", "VFIOUserClient", "VFIOUserServer", "VFIO", "Device", "Linux",
                ]),
            .testTarget(
                name: "KVMTests",
                dependencies: [
                    "VFIO", "FakeGuest", "KVM", "Lab", "PCI", "VFIOUserClient", "Linux", "Device", "DeviceCatalog",
                    "Tap",
                    "XenProbe", "mediated-device",
                ],
                exclude: ["Guests"]),
            .testTarget(
                name: "XenTests",
                dependencies: [
                    "CXen", "Device", "DeviceCatalog", "GuestMemory", "Lab", "Linux", "PCI", "SeededRandom",
                    "Xen", "XenProbe", "mediated-device",
                ]),
        ]),
    room(
        "Tests/Drivers",
        [
            .testTarget(
                name: "VTestTests",
                dependencies: ["CLinux", "Linux", "ScriptedGPU", "SeededRandom", "VTest", "VirtioGPUDriver"])
        ]),
    room(
        "Tests/Tools",
        [
            .testTarget(name: "QMPTests", dependencies: ["FakeQEMU", "QMP", "JSON", "Linux", "Programs"]),
            .testTarget(name: "ObserverTests", dependencies: ["FakeGuest", "Linux", "Observer", "VFIO"]),
            .testTarget(
                name: "RecordingTests",
                dependencies: ["CLinux", "Device", "DeviceCatalog", "Linux", "Programs", "Recording", "Tap"]),
            .testTarget(
                name: "ReplayTests",
                dependencies: [
                    "Control", "Device", "DeviceCatalog", "FakeDriver", "FakeGuest", "JSON", "Linux", "Programs",
                    "Recording", "Replay", "SeededRandom", "Tap", "VFIOUserClient",
                ],
                exclude: ["Recordings"]),
            .testTarget(name: "InjectionTests", dependencies: ["DeviceCatalog", "Injection", "Trace"]),
            .testTarget(name: "TraceTests", dependencies: ["Device", "DeviceCatalog", "JSON", "Tap", "Trace"]),
        ]),
    room(
        "Tests/ControlPlane",
        [
            .testTarget(
                name: "ControlTests",
                dependencies: [
                    "Device", "Injection", "JSON", "Linux", "Control", "LingeringSocket", "PCI", "Programs", "Tap",
                    "XenSlot",
                ]),
            .testTarget(name: "MetricsTests", dependencies: ["Metrics", "JSON"]),
            .testTarget(name: "MediationTests", dependencies: ["JSON", "Linux", "Mediation", "Programs"]),
            .testTarget(
                name: "SupervisionTests",
                dependencies: [
                    "Control", "Database", "Device", "FakeDomains", "JSON", "LingeringSocket", "Linux", "Mediation",
                    "PCI",
                    "Programs", "Renderer", "Supervision", "VFIOUserClient", "Waiting", "XenSlot", "mediated-device",
                ]),
            .testTarget(
                name: "DatabaseTests",
                dependencies: [
                    "CSQLite", "Database", "Linux", "Mediation", "PCI", "Programs", "SeededRandom",
                    "StoreModel",
                    "StoreWriter", "XenSlot",
                ]),
            .testTarget(
                name: "ProfileTests",
                dependencies: ["DeviceCatalog", "Mediation", "Profiles", "Programs", "SeededRandom"]),
            .testTarget(
                name: "DaemonTests",
                dependencies: [
                    "CCredentials", "FakeDomains", "FakeDriver", "FakeGuest", "JSON", "Lab", "LingeringSocket", "Linux",
                    "Programs", "RunningDaemon", "SeededRandom", "VFIOUserClient", "mediated-daemon", "mediated-device",
                    "mediated-renderer", "Tap",
                ]),
        ]),
    room(
        "Tests/Programs",
        [
            .testTarget(
                name: "CommandTests",
                dependencies: [
                    "Device", "CPNG", "Control", "DaemonAPI", "DaemonClient", "FakeDomains", "FakeGuest", "FakeQEMU",
                    "JSON", "KVM",
                    "Lab", "Linux", "Metrics", "PCI", "Programs", "Recording", "RunningDaemon", "SeededRandom", "Tap",
                    "VFIO",
                    "VFIOUserClient", "VTest", "Waiting", "GLProgram",
                    "mediated", "mediated-bridge",
                    "mediated-daemon", "mediated-device", "mediated-renderer",
                ])
        ]),
    room(
        "Tests",
        [
            .testTarget(
                name: "GuestTests",
                dependencies: [
                    "Control", "Device", "JSON", "Lab", "Linux", "Programs", "QMP", "Recording", "Replay", "Tap",
                    "Waiting",
                    "mediated",
                    "mediated-daemon",
                    "mediated-device", "mediated-renderer",
                ]),
            .testTarget(
                name: "SandboxTests",
                dependencies: [
                    "Control", "Device", "DeviceCatalog", "FakeGuest", "LingeringSocket", "Linux", "PCI", "Programs",
                    "SandboxProbe", "VFIO", "VFIOUserClient", "mediated-device",
                ]),
            .testTarget(
                name: "NeighbourTests",
                dependencies: [
                    "Control", "FakeGuest", "Linux", "PCI", "Programs", "SeededRandom", "VFIO", "mediated-device",
                ]),
            .testTarget(
                name: "AllocationTests",
                dependencies: [
                    "CAllocationCounter", "Device", "Exerciser", "Linux", "PCI", "VFIO", "VFIOUserClient",
                    "VFIOUserServer",
                ]),
        ]),
].flatMap { $0 }

for target in package.targets where ![.system, .plugin].contains(target.type) {
    target.swiftSettings = [.enableExperimentalFeature("Lifetimes")]
}
