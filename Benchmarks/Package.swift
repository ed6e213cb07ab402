// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [.package(name: "Mediated", path: "..")],
    targets: [
        .target(name: "CFloor"),
        .executableTarget(
            name: "bench",
            dependencies: ["CFloor", .product(name: "Mediated", package: "Mediated")]),
    ]
)
