import Worker

/// What the log says of a command at which a renderer hung, and which command is none to hang at.
extension RendererCommand {
    public var title: MessageTitle? {
        switch self {
        case .createContext(let id, _, _): MessageTitle("CTX_CREATE of context", id)
        case .destroyContext(let id): MessageTitle("CTX_DESTROY of context", id)
        case .submit(let context, _): MessageTitle("SUBMIT_3D of context", context)
        case .createResource(let parameters): MessageTitle("RESOURCE_CREATE_3D of resource", parameters.id)
        case .importBlob(let resource, _, _): MessageTitle("RESOURCE_MAP_BLOB of resource", resource)
        case .destroyResource(let id): MessageTitle("RESOURCE_UNREF of resource", id)
        case .transferToHost(let transfer): MessageTitle("TRANSFER_TO_HOST_3D of resource", transfer.resource)
        case .transferFromHost(let transfer): MessageTitle("TRANSFER_FROM_HOST_3D of resource", transfer.resource)
        case .readPixels(let resource, _, _, _): MessageTitle("a copy of resource", resource)
        case .capabilitySet, .attachBacking, .detachBacking, .attachResource, .detachResource, .fence, .contextFence:
            nil
        }
    }

    /// A ring's fence waits for what a program computes, for as long as it likes, and perhaps for a signal of its own:
    /// neither keeps the renderer from anything else.
    public var isPatient: Bool {
        if case .contextFence = self { true } else { false }
    }
}
