import Control
import VFIOUserServer

extension ControlEvent.Kind {
    /// What a server's event is called.
    init(_ event: Server.Event) {
        self =
            switch event {
            case .clientConnected: .clientConnected
            case .clientLeft: .clientLeft
            case .clientDenied: .clientDenied
            case .clientRefused: .clientRefused
            case .clientSilent: .clientSilent
            case .connectionFailed: .connectionFailed
            }
    }
}
