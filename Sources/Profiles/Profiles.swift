import Mediation
public struct Profiles { public let types: [InstanceType] = [], parents: [Parent] = []; public init(readingFile: String) throws {} }
