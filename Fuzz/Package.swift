// swift-tools-version: 6.1
import PackageDescription

/// Fuzzers by libFuzzer: for the protocol's messages, each device's registers, virtio's queues, the commands of virtio-gpu, what goes
/// between a device process and its renderer, what programs say to a bridge, and saved states.
/// `Fuzz/run` builds and runs them.
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
                .product(name: "Renderer", package: "Mediated"), .product(name: "Drivers", package: "Mediated"),
            ]),
        // One program for all: linking takes longer than compiling.
        .executableTarget(
            name: "Fuzzers", dependencies: ["FuzzSupport"], swiftSettings: [.unsafeFlags(["-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
    ]
)
