import Control
import Device
import Linux

extension Function {
    /// Goes on from a saved state.
    ///
    /// - Parameter isKept: whether memory has something newer than the state.
    func restore(
        _ state: DeviceArguments.State, keeping isKept: (MappedBytes) -> Bool
    ) throws(Failure) {
        let name: String
        let file: Descriptor
        switch state {
        case .file(let path):
            name = "'\(path)'"
            do throws(Errno) { file = try Descriptor(reading: path) } catch { throw Self.unreadable(name, error) }
        case .descriptor(let raw):
            name = "The state in descriptor \(raw)"
            file = Descriptor(owning: raw)
        }
        do {
            let writer = StateWriter(self, keeping: isKept)
            while true {
                let piece = try file.readBytes(upTo: 1 << 20)
                if piece.isEmpty { break }
                try writer.write(piece.span.bytes)
            }
            try writer.finish()
        } catch let error as StateError {
            throw Failure(Failure.Exit.badState, "\(name) can't be restored. \(error)")
        } catch {
            throw Self.unreadable(name, error)
        }
    }

    private static func unreadable(_ name: String, _ error: any Error) -> Failure {
        Failure(Failure.Exit.noInput, "\(name) can't be read: \(error).")
    }
}
