import Linux

/// The guest's memory by I/O virtual address.
public final class AddressSpace {
    public init() {}
}
