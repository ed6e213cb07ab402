/// One vGPU at one moment, for its metrics.
public struct VGPUStatus: Equatable, Sendable {
    /// What tells it from all others and stays the same, whether its process answers or not: its name, or the path of
    /// its socket.
    public let vgpu: String
    /// Nil when the process doesn't answer.
    public let answer: Answer?

    public init(vgpu: String, answer: Answer?) {
        self.vgpu = vgpu
        self.answer = answer
    }

    /// What the device process says.
    public struct Answer: Equatable, Sendable {
        public let type: String
        /// What the process was told to be called, if anything.
        public let name: String?
        public let hasClient: Bool
        public let statistics: VGPUStatistics

        /// `type` and `name` may be anything: the end of a long one is cut off.
        public init(type: String, name: String?, hasClient: Bool, statistics: VGPUStatistics) {
            self.type = Self.shortened(type)
            self.name = name.map(Self.shortened)
            self.hasClient = hasClient
            self.statistics = statistics
        }

        private static let lengthLimit = 200

        private static func shortened(_ text: String) -> String { String(text.unicodeScalars.prefix(lengthLimit)) }
    }
}
