// swift-tools-version: 6.1
import PackageDescription

/// The layers, lowest first. A target may use what stands above it in this file, never below.
let package = Package(
    name: "Mediated",
    products: [
        .library(
            name: "Mediated",
            targets: ["Device", "DeviceCatalog", "Exerciser", "GuestMemory", "JSON", "Linux", "VFIO", "VFIOUser"])
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
        .target(name: "Control", dependencies: ["Linux", "Device", "JSON"]),
        .executableTarget(
            name: "mediated-device",
            dependencies: ["Control", "Device", "DeviceCatalog", "JSON", "Linux", "VFIOUser"]),

        .testTarget(name: "LinuxTests", dependencies: ["Linux"]),
        .testTarget(name: "GuestMemoryTests", dependencies: ["GuestMemory", "Linux", "CLinux"]),
        .testTarget(name: "PCITests", dependencies: ["PCI"]),
        .testTarget(name: "JSONTests", dependencies: ["JSON"]),
        .testTarget(name: "BochsDisplayTests", dependencies: ["BochsDisplay"]),
        .testTarget(name: "ExerciserTests", dependencies: ["Exerciser"]),
        .testTarget(name: "DeviceTests", dependencies: ["Device"]),
        .testTarget(name: "TutorialTests", dependencies: ["TutorialDevice", "Device", "Linux"]),
        .testTarget(name: "SerialCardTests", dependencies: ["SerialCard", "Device", "Linux"]),
        .testTarget(name: "ControlTests", dependencies: ["Control", "PCI"]),
        .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
        .testTarget(
            name: "AllocationTests", dependencies: ["CAllocationCounter", "Device", "Exerciser", "Linux", "VFIOUser"]),
    ]
)
