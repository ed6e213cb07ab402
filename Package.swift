// swift-tools-version: 6.1
import PackageDescription

/// The layers, lowest first. A target may use what stands above it in this file, never below.
let package = Package(
    name: "Mediated",
    products: [
        .executable(name: "mediated", targets: ["mediated"]),
        .executable(name: "mediated-device", targets: ["mediated-device"]),
        .library(
            name: "Mediated",
            targets: [
                "Linux", "JSON", "VFIO", "GuestMemory", "PCI", "Device", "Exerciser", "DeviceCatalog", "VFIOUser",
                "KVM",
            ]),
        .library(name: "FakeGuest", targets: ["FakeGuest"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(
            name: "Linux",
            dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "JSON", swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .target(name: "VFIO", dependencies: ["CLinux", "JSON"]),
        .target(name: "GuestMemory", dependencies: ["CLinux", "Linux"]),
        .target(name: "PCI"),
        .target(name: "Device", dependencies: ["Linux", "GuestMemory", "PCI", "JSON"]),
        .target(name: "SerialCard", dependencies: ["Device"], path: "Sources/Devices/SerialCard"),
        .target(name: "BochsDisplay", dependencies: ["Device"], path: "Sources/Devices/BochsDisplay"),
        .target(name: "Exerciser", dependencies: ["Device"], path: "Sources/Devices/Exerciser"),
        .target(name: "TutorialDevice", dependencies: ["Device"], path: "Examples/TutorialDevice"),
        .target(
            name: "VFIOUser", dependencies: ["Linux", "VFIO", "GuestMemory", "PCI", "Device", "JSON"],
            swiftSettings: [.enableExperimentalFeature("Lifetimes")]),
        .target(
            name: "DeviceCatalog", dependencies: ["Device", "BochsDisplay", "SerialCard", "Exerciser"],
            path: "Sources/Devices/Catalog"),
        .target(name: "Renderer", dependencies: ["Linux"], path: "Sources/Backends/Renderer"),
        .systemLibrary(
            name: "CVirglrenderer", path: "Sources/Backends/CVirglrenderer", pkgConfig: "virglrenderer",
            providers: [.apt(["libvirglrenderer-dev"])]),
        .target(name: "Virgl", dependencies: ["CVirglrenderer", "Linux", "Renderer"], path: "Sources/Backends/Virgl"),
        .executableTarget(name: "mediated-renderer", dependencies: ["Linux", "Renderer", "Virgl"]),
        .target(name: "CKVM", path: "Sources/Hypervisors/CKVM"),
        .target(
            name: "KVM", dependencies: ["CKVM", "CLinux", "Linux", "VFIO", "PCI", "VFIOUser"],
            path: "Sources/Hypervisors/KVM"),
        .target(name: "Control", dependencies: ["Linux", "Device", "JSON"]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .target(name: "PNG", dependencies: ["CPNG", "Linux", "Device"]),
        .executableTarget(
            name: "mediated-device",
            dependencies: ["Control", "Device", "DeviceCatalog", "JSON", "Linux", "VFIOUser"]),
        .executableTarget(
            name: "mediated",
            dependencies: [
                "Linux", "JSON", "VFIO", "PCI", "Device", "DeviceCatalog", "VFIOUser", "Control", "PNG", "KVM",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(
            name: "FakeGuest",
            dependencies: ["CCredentials", "CLinux", "Linux", "VFIO", "Device", "DeviceCatalog", "VFIOUser"],
            path: "Testing/FakeGuest"),
        .target(name: "CCredentials", path: "Testing/CCredentials"),
        .target(name: "SeededRandom", path: "Testing/SeededRandom"),
        .target(name: "CSystemCall", path: "Testing/CSystemCall"),
        .executableTarget(
            name: "SandboxProbe", dependencies: ["CLinux", "CSystemCall", "Linux"], path: "Testing/SandboxProbe"),

        .testTarget(name: "LinuxTests", dependencies: ["Linux"]),
        .testTarget(name: "GuestMemoryTests", dependencies: ["SeededRandom", "GuestMemory", "Linux", "CLinux"]),
        .testTarget(name: "PCITests", dependencies: ["SeededRandom", "PCI"]),
        .testTarget(name: "JSONTests", dependencies: ["SeededRandom", "JSON"]),
        .testTarget(name: "BochsDisplayTests", dependencies: ["SeededRandom", "BochsDisplay"]),
        .testTarget(name: "ExerciserTests", dependencies: ["Exerciser"]),
        .testTarget(name: "DeviceTests", dependencies: ["Device"]),
        .testTarget(name: "TutorialTests", dependencies: ["TutorialDevice", "Device", "Linux"]),
        .testTarget(name: "SerialCardTests", dependencies: ["SerialCard", "Device", "Linux"]),
        .testTarget(name: "VFIOTests", dependencies: ["VFIO"]),
        .testTarget(
            name: "VFIOUserTests",
            dependencies: [
                "SeededRandom", "CLinux", "FakeGuest", "VFIOUser", "VFIO", "Device", "PCI", "GuestMemory", "Linux",
            ]),
        .testTarget(name: "ClientTests", dependencies: ["FakeGuest", "VFIOUser", "VFIO", "Device", "Linux"]),
        .testTarget(
            name: "KVMTests", dependencies: ["FakeGuest", "KVM", "VFIOUser", "Linux", "Device"], exclude: ["Guests"]),
        .testTarget(name: "ControlTests", dependencies: ["Control", "PCI"]),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "SeededRandom", "Control", "FakeGuest", "mediated", "mediated-device", "CPNG", "JSON", "KVM", "Linux",
                "VFIO",
                "VFIOUser",
            ]),
        .testTarget(
            name: "GuestTests", dependencies: ["mediated-device", "Control", "Device", "JSON", "Linux"]),
        .testTarget(name: "RendererTests", dependencies: ["mediated-renderer", "Renderer", "Linux"]),
        .testTarget(
            name: "SandboxTests",
            dependencies: [
                "Control", "Device", "FakeGuest", "JSON", "Linux", "SandboxProbe", "VFIO", "VFIOUser", "mediated-device",
            ]),
        .testTarget(
            name: "NeighbourTests",
            dependencies: ["Control", "FakeGuest", "Linux", "SeededRandom", "VFIO", "mediated-device"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .testTarget(
            name: "AllocationTests",
            dependencies: ["CAllocationCounter", "Device", "Exerciser", "Linux", "VFIO", "VFIOUser"]),
    ]
)

for target in package.targets where ![.system, .plugin].contains(target.type) {
    target.swiftSettings = [.enableExperimentalFeature("Lifetimes")]
}
