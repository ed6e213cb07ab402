import Foundation

/// The files of the source tree.
public enum Repository {
    /// - Parameter path: from the folder in which Package.swift lies.
    public static func file(_ path: String) -> URL {
        // This file is Testing/Programs/Repository.swift.
        (0..<3).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
            .appendingPathComponent(path)
    }
}
