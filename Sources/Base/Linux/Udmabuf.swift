import CLinux
import Glibc

/// The kernel's maker of dma-bufs: what graphics drivers take memory by, made of parts of memory files. Such a buffer
/// keeps the pages that the file has when it is made, whatever is done with the file afterwards. `/dev/udmabuf`
///
/// `CONFIG_UDMABUF`, which Debian's kernels have from 6.12 on.
public final class Udmabuf: Sendable {
    public static let path = "/dev/udmabuf"
    /// Where the kernel says how long a buffer may be, in MiB.
    public static let limitPath = "/sys/module/udmabuf/parameters/size_limit_mb"
    /// The command of `ioctl(2)` that makes a buffer.
    public static let command = clinux_udmabuf_create

    private let device: Descriptor

    /// - Throws: `open(2)`'s error: `.noSuchFileOrDirectory` where the kernel has none.
    public init() throws(Errno) {
        device = Descriptor(owning: try systemCall { open(Self.path, O_RDWR | O_CLOEXEC) })
    }

    /// How many bytes one buffer may have; nil where the kernel doesn't tell.
    public static var limit: UInt64? {
        guard let file = try? Descriptor(reading: limitPath), let text = try? file.readBytes(upTo: 32),
            let mebibytes = UInt64(String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)),
            mebibytes <= .max >> 20
        else { return nil }
        return mebibytes << 20
    }

    /// A buffer of whole pages of a file.
    ///
    /// - Parameters:
    ///   - file: a memfd that can't shrink (`F_SEAL_SHRINK`), and can be written to.
    ///   - offset: in bytes, of whole pages, as is the size.
    /// - Throws: `.invalidArgument` for anything else, or more than ``limit``. `UDMABUF_CREATE`
    public func buffer(
        of file: borrowing Descriptor, at offset: UInt64, size: UInt64
    ) throws(Errno) -> Descriptor {
        Descriptor(owning: try shim(clinux_udmabuf(device.raw, file.raw, offset, size)))
    }
}
