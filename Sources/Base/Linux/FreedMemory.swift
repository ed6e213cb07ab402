import CLinux

/// Memory that this process has freed, and that its C library keeps for the next time.
public enum FreedMemory {
    /// Gives all of it back to the system that makes up whole pages. It takes time in proportion to what was freed.
    /// `malloc_trim(3)`
    public static func giveBack() {
        clinux_trim_memory()
    }
}
