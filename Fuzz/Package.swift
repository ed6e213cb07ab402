// swift-tools-version: 6.1
import PackageDescription

/// Fuzzers by libFuzzer: one for the protocol's messages, one for each device's registers, one for virtio's queues, one for saved states.
/// `Fuzz/run` builds and runs them.
let fuzzer: [SwiftSetting] = [.unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"])]
let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "Mediated", path: "..")],
    targets: [
        .target(name: "CFuzzer"),
        .target(
            name: "FuzzSupport",
            dependencies: [
                "CFuzzer",
                .product(name: "Mediated", package: "Mediated"), .product(name: "FakeGuest", package: "Mediated"),
            ]),
    ]
        + ["messages", "access-ring", "serial", "bochs-display", "exerciser", "virtio", "virtio-gpu", "saved-state"].map
    { name in
        .executableTarget(
            name: name, dependencies: ["FuzzSupport"], swiftSettings: fuzzer,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])])
    }
)
