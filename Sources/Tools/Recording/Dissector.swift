/// What takes recordings apart in Wireshark and tshark: `Dissector/vfio_user.lua`.
public enum Dissector {
    /// The script's text.
    public static var text: String { String(decoding: PackageResources.vfio_user_lua, as: UTF8.self) }
}
