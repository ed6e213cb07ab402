@testable import Exerciser
