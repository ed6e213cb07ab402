// swift-tools-version: 6.1
import PackageDescription

/// The layers, lowest first. A target may use what stands above it in this file, never below.
let package = Package(
    name: "Mediated",
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
        .target(name: "JSON"),
        .target(name: "VFIO", dependencies: ["CLinux", "JSON"]),
        .target(name: "GuestMemory", dependencies: ["CLinux", "Linux"]),
        .target(name: "PCI"),
        .target(name: "Device", dependencies: ["Linux", "GuestMemory", "PCI", "JSON"]),
        .target(name: "SerialCard", dependencies: ["Device"], path: "Sources/Devices/SerialCard"),
        .target(name: "BochsDisplay", dependencies: ["Device"], path: "Sources/Devices/BochsDisplay"),
        .target(name: "Exerciser", dependencies: ["Device"], path: "Sources/Devices/Exerciser"),
        .target(name: "VFIOUser", dependencies: ["Linux", "VFIO", "GuestMemory", "PCI", "Device", "JSON"]),

        .testTarget(name: "LinuxTests", dependencies: ["Linux"]),
        .testTarget(name: "GuestMemoryTests", dependencies: ["GuestMemory"]),
        .testTarget(name: "PCITests", dependencies: ["PCI"]),
        .testTarget(name: "JSONTests", dependencies: ["JSON"]),
        .testTarget(name: "BochsDisplayTests", dependencies: ["BochsDisplay"]),
        .testTarget(name: "ExerciserTests", dependencies: ["Exerciser"]),
        .testTarget(name: "DeviceTests", dependencies: ["Device"]),
    ]
)
