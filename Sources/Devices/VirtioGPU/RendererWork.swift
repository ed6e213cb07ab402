import Device
import Renderer

/// What the renderer was asked for, and what is done when it has answered: a value, whatever happens meanwhile.
struct RendererWork: Codable, Equatable {
    /// What follows the answer, on this side.
    enum Sequel: Codable, Equatable {
        case nothing
        /// A context that the renderer has not made is none. The serial tells it from others of the same number.
        case contextMade(UInt32, serial: UInt64)
        /// A resource that the renderer has not made is none.
        case resourceMade(UInt32, serial: UInt64)
        /// A blob that the renderer has not taken isn't mapped.
        case blobMapped(UInt32, at: Int)
        /// A piece of the window is the renderer's no more: ``Window/finishRelease(_:for:)``
        case blobReleased(UInt64)
        /// Heads have their copies.
        case pixelsCopied([Heads.Copy])
        /// A head has its cursor's image.
        case cursorRead(Heads.CursorRead)
    }

    let sequel: Sequel
    /// What is due then.
    let due: Due
}
