/// What a column holds, blobs left out. "Datatypes In SQLite", section 2, sqlite.org/datatype3.html
enum StoredValue: Equatable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
}

/// A type whose values a column can hold.
protocol ColumnValue {
    var stored: StoredValue { get }
    /// Nil for what can't have been stored from this type.
    init?(_ stored: StoredValue)
}

extension String: ColumnValue {
    var stored: StoredValue { .text(self) }

    init?(_ stored: StoredValue) {
        guard case .text(let text) = stored else { return nil }
        self = text
    }
}

extension Double: ColumnValue {
    var stored: StoredValue { .real(self) }

    init?(_ stored: StoredValue) {
        guard case .real(let number) = stored else { return nil }
        self = number
    }
}

extension Bool: ColumnValue {
    var stored: StoredValue { .integer(self ? 1 : 0) }

    init?(_ stored: StoredValue) {
        guard case .integer(let number) = stored, number == 0 || number == 1 else { return nil }
        self = number == 1
    }
}

extension ColumnValue where Self: FixedWidthInteger {
    /// An unsigned number from 2^63 on becomes the negative one with the same bits.
    var stored: StoredValue { .integer(Int64(truncatingIfNeeded: self)) }

    init?(_ stored: StoredValue) {
        guard case .integer(let number) = stored else { return nil }
        self.init(truncatingIfNeeded: number)
        guard Int64(truncatingIfNeeded: self) == number else { return nil }
    }
}

extension Int: ColumnValue {}
extension Int32: ColumnValue {}
extension Int64: ColumnValue {}
extension UInt16: ColumnValue {}
extension UInt32: ColumnValue {}
extension UInt64: ColumnValue {}

extension Optional: ColumnValue where Wrapped: ColumnValue {
    var stored: StoredValue { self?.stored ?? .null }

    init?(_ stored: StoredValue) {
        guard stored != .null else {
            self = .none
            return
        }
        guard let wrapped = Wrapped(stored) else { return nil }
        self = wrapped
    }
}

extension ColumnValue where Self: RawRepresentable, RawValue: ColumnValue {
    var stored: StoredValue { rawValue.stored }

    init?(_ stored: StoredValue) {
        guard let rawValue = RawValue(stored) else { return nil }
        self.init(rawValue: rawValue)
    }
}
