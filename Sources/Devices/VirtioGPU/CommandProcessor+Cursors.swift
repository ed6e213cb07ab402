import Device

extension CommandProcessor {
    func updateCursor(
        of number: UInt32, from id: UInt32, _ pointer: Head.Pointer
    ) throws(Refusal) -> Progress {
        let head = try head(number)
        var progress = Progress.complete
        if id != 0 {
            let resource = try resource(id)
            if let host = resource.host {
                progress = try readCursor(from: id, host, to: head.cursorPlace)
            } else {
                try copyCursor(from: resource, to: head.cursorPlace)
            }
        }
        head.pointer = pointer
        return progress
    }

    func moveCursor(of number: UInt32, _ x: Int32, _ y: Int32) throws(Refusal) {
        let head = try head(number)
        head.pointer?.x = x
        head.pointer?.y = y
    }

    /// Copies the image, so that the resource may go or change while the cursor stays.
    private func copyCursor(from resource: Resource, to place: Int) throws(Refusal) {
        let edge = Head.cursorEdge
        switch resource.content {
        case .image(let format, let width, let height, let pixels):
            guard width == edge, height == edge else { throw .invalidParameter }
            memory.bytes.replace(at: place, with: memory.bytes, at: pixels.lowerBound, count: Head.cursorSize)
            convertCursor(at: place, from: format)
        case .blob(let size):
            guard let backing = resource.backing else { throw .unspecified }
            guard size >= Head.cursorSize else { throw .invalidParameter }
            try backing.copy(at: 0, count: Head.cursorSize, from: host.memory, to: memory.bytes, at: place)
        case .host: throw .invalidResource
        }
    }

    func convertCursor(at place: Int, from format: PixelFormat) {
        let channels = format.cursorChannels
        guard channels != PixelFormat.argb8888.cursorChannels else { return }
        var image = [UInt8](repeating: 0, count: Head.cursorSize)
        var span = image.mutableSpan
        var bytes = span.mutableBytes
        memory.bytes.copy(at: place, count: Head.cursorSize, into: &bytes)
        let converted = image.indices.map { image[$0 & ~3 + channels[$0 & 3]] }
        memory.bytes.replace(at: place, with: converted.span.bytes)
    }
}
