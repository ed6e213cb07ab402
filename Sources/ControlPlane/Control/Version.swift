/// Mediated's version.
public enum Version {
    /// By Semantic Versioning: that of the newest section of CHANGELOG.md, or, while that one is *Unreleased*, the next
    /// version with `-dev`. Packages take theirs from here.
    public static let current = "0.1.0-dev"
}
