import CSQLite

/// One statement of SQL, compiled. Its text is a literal, so no value can ever become part of it: values are bound.
struct Statement: ~Copyable {
    // SAFETY: owned by this value from `sqlite3_prepare_v2` to `sqlite3_finalize`. It needs its connection to be there:
    // `sqlite3_close_v2` waits for the last statement.
    private let handle: OpaquePointer
    private let sql: StaticString

    /// - Parameter connection: an open one.
    init(_ sql: StaticString, on connection: OpaquePointer) throws(DatabaseError) {
        var handle: OpaquePointer?
        // SAFETY: a literal lives as long as the program.
        let code = sqlite3_prepare_v2(connection, sql.utf8Start, Int32(clamping: sql.utf8CodeUnitCount), &handle, nil)
        guard code == SQLITE_OK, let handle else { throw DatabaseError(code, on: connection, sql) }
        self.handle = handle
        self.sql = sql
    }

    deinit {
        sqlite3_finalize(handle)
    }

    /// Begins again, with values for the parameters `?1`, `?2` …
    borrowing func bind(_ values: [any ColumnValue]) throws(DatabaseError) {
        // What it returns is the error of the step before, which was thrown already.
        sqlite3_reset(handle)
        for (index, value) in values.enumerated() {
            let number = Int32(clamping: index + 1)
            let code =
                switch value.stored {
                case .null: sqlite3_bind_null(handle, number)
                case .integer(let integer): sqlite3_bind_int64(handle, number, integer)
                case .real(let real): sqlite3_bind_double(handle, number, real)
                case .text(var text):
                    // SAFETY: SQLite copies the bytes before this returns.
                    text.withUTF8 { bytes in
                        bytes.withMemoryRebound(to: CChar.self) { bytes in
                            sqlite3_bind_text64(
                                handle, number, bytes.baseAddress, UInt64(bytes.count), csqlite_transient(),
                                UInt8(SQLITE_UTF8))
                        }
                    }
                }
            guard code == SQLITE_OK else { throw failure(code) }
        }
    }

    /// Goes on to the next row.
    ///
    /// - Returns: false when there is none, and the statement is done.
    borrowing func step() throws(DatabaseError) -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw failure(code)
        }
    }

    /// What a column of the row holds.
    ///
    /// - Parameter index: counts from 0.
    /// - Throws: ``DatabaseError/unreadable(statement:column:value:)`` for what the type can't be.
    borrowing func column<Value: ColumnValue>(_ index: Int32) throws(DatabaseError) -> Value {
        let stored = stored(index)
        guard let value = Value(stored) else {
            throw .unreadable(statement: sql.line, column: Int(index), value: "\(stored)")
        }
        return value
    }

    private borrowing func stored(_ index: Int32) -> StoredValue {
        switch sqlite3_column_type(handle, index) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(handle, index))
        case SQLITE_FLOAT: return .real(sqlite3_column_double(handle, index))
        case SQLITE_TEXT:
            // SAFETY: valid until the next step, and copied before. The bytes are counted, as a text may hold zeros;
            // asking for their number after the text is the order that SQLite wants.
            guard let bytes = sqlite3_column_text(handle, index) else { return .null }
            let count = Int(sqlite3_column_bytes(handle, index))
            return .text(String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self))
        default: return .null
        }
    }

    private borrowing func failure(_ code: Int32) -> DatabaseError {
        DatabaseError(code, on: sqlite3_db_handle(handle), sql)
    }
}

extension DatabaseError {
    /// What SQLite has to say about its last call.
    init(_ code: Int32, on connection: OpaquePointer?, _ sql: StaticString?) {
        // SAFETY: both texts are copied before anything else is asked of the connection.
        let message = sqlite3_errmsg(connection).map { String(cString: $0) } ?? "out of memory"
        let path = connection.flatMap { sqlite3_db_filename($0, "main") }.map { String(cString: $0) } ?? ""
        self = .sqlite(Refusal(code: code, message: message, path: path, statement: sql?.line))
    }
}

extension StaticString {
    /// On one line, for a message.
    fileprivate var line: String {
        description.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}
