/// The lines of `mediated top`, from what was observed.
struct TopTable {
    var rows: [TopRow]
    var order = TopColumn.vgpu

    /// A line of titles, and one for each row.
    ///
    /// - Parameter width: the longest line, in characters. The first column gives way down to ``narrowest``; what is
    ///   too long still is cut off.
    func lines(width: Int = .max) -> [String] {
        let columns = TopColumn.allCases
        let cells = sorted.map { row in columns.map { $0.cell(row) } }
        var widths = columns.enumerated().map { index, column in
            cells.map { $0[index].text.count }.reduce(column.title.count, max)
        }
        let gaps = 2 * (columns.count - 1)
        let excess = widths.reduce(gaps, +) - width
        if excess > 0 { widths[0] = max(Self.narrowest, widths[0] - excess) }
        let lines = [columns.map { TopColumn.Cell.text($0.title) }] + cells
        return lines.map { line in
            let texts = columns.indices.map { index in
                let text = line[index].text.cut(to: widths[index])
                // The titles of numbers stand above them.
                return index < Self.textColumns ? text.padded(to: widths[index]) : text.indented(to: widths[index])
            }
            return String(texts.joined(separator: "  ").prefix(width))
        }
    }

    /// A page for a terminal: what it is about, the table, and which keys there are.
    ///
    /// - Parameters:
    ///   - interval: between two observations, in seconds.
    ///   - columns: the terminal's size in characters.
    func page(interval: Double, columns: Int, lines count: Int) -> [String] {
        let vgpus = "\(rows.count) vGPU\(rows.count == 1 ? "" : "s")"
        let title = "mediated top: \(vgpus), every \(ShortNumber(interval, .count)) s, by \(order.title)"
        let keys = "q quit; sort by: " + TopColumn.allCases.map { "\($0.key) \($0.title)" }.joined(separator: ", ")
        var table = lines(width: columns)
        let room = count - 2
        if table.count > room, room >= 2 {
            let hidden = table.count - (room - 1)
            table = table.prefix(room - 1) + ["… and \(hidden) more"]
        }
        let filler = [String](repeating: "", count: max(0, room - table.count))
        return ([title] + table + filler + [keys]).prefix(max(0, count)).map { String($0.prefix(columns)) }
    }

    /// To how few characters the first column is cut.
    private static let narrowest = 8
    /// How many columns, from the left, hold words; the others hold numbers.
    private static let textColumns = 3

    private var sorted: [TopRow] {
        rows.enumerated().sorted { a, b in
            let (first, second) = (order.cell(a.element), order.cell(b.element))
            if first.isBefore(second) { return true }
            return !second.isBefore(first) && a.offset < b.offset
        }.map(\.element)
    }
}

extension String {
    fileprivate func indented(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }

    /// Of a path the end tells most.
    fileprivate func cut(to width: Int) -> String { count <= width ? self : "…" + suffix(max(0, width - 1)) }
}
