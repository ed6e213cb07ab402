import Device
import JSON
import Linux

/// An answer: one line of JSON and, for what is too large for it, a file, with the bells of what goes on in it.
struct ControlReply {
    /// `{"version":1,"result":…}` or `{"version":1,"error":{"code":…,"message":…}}`.
    let json: JSON
    let attachment: MemoryFile?
    /// What goes along with the file.
    let bells: [EventFD]

    init(_ result: JSON, attachment: MemoryFile? = nil, bells: [EventFD] = []) {
        json = ["version": JSON(ControlRequest.version), "result": result]
        self.attachment = attachment
        self.bells = bells
    }

    init(_ error: ControlError) {
        json = [
            "version": JSON(ControlRequest.version),
            "error": ["code": .string(error.code.rawValue), "message": .string(error.description)],
        ]
        attachment = nil
        bells = []
    }

    /// - Parameter error: a ``ControlError``, or what kept the process from doing what it was asked to.
    init(failure error: any Error) {
        self.init(error as? ControlError ?? ControlError(.failed, "\(error)"))
    }

    /// The result that a line of a reply holds.
    ///
    /// - Parameter valueLimit: how many values there may be at most in the line.
    /// - Throws: ``ControlClientError`` when it holds none.
    static func result(of line: [UInt8], valueLimit: Int = .max) throws(ControlClientError) -> JSON {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: line, valueLimit: valueLimit)
        } catch {
            throw .malformedReply("\(error)")
        }
        guard json["version"]?.int == ControlRequest.version else {
            throw .malformedReply("its version is \(json["version"]?.text ?? "missing"), not \(ControlRequest.version)")
        }
        if let result = json["result"] { return result }
        guard let message = json["error"]?["message"]?.string else {
            throw .malformedReply("it has neither a result nor an error")
        }
        let code = json["error"]?["code"]?.string.flatMap(ControlError.Code.init(rawValue:)) ?? .failed
        throw .refused(ControlError(code, message))
    }
}

/// Who a device process is.
public struct ControlInfo: Codable, Equatable, Sendable {
    /// What it was called when it was started, if anything.
    public var name: String?
    /// The device's type, as in `mediated run TYPE`.
    public var type: String
    /// The options it was given, as `KEY=VALUE`.
    public var options: [String]
    /// The process's number.
    public var process: Int32
    /// The vfio-user socket's path.
    public var socket: String
    /// Whether a client, such as a virtual machine, is connected to it.
    public var clientConnected: Bool
    /// How long the process has been there.
    public var uptimeSeconds: Double

    public init(
        name: String? = nil, type: String, options: [String], process: Int32, socket: String, clientConnected: Bool,
        uptimeSeconds: Double
    ) {
        self.name = name
        self.type = type
        self.options = options
        self.process = process
        self.socket = socket
        self.clientConnected = clientConnected
        self.uptimeSeconds = uptimeSeconds
    }
}

/// The result of ``ControlRequest/save``; the bytes come as a descriptor.
struct SavedSize: Codable {
    var size: Int
}
