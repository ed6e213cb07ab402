import Linux

/// Results as a picture: one bar for each ratio to its floor, on a logarithmic scale, with the aim as a mark. SVG
struct Chart {
    let title: String
    let results: [Result]

    private static let row = 22
    private static let labels = 430
    private static let width = 900
    /// The scale, as powers of ten.
    private static let scale = (from: -2.2, to: 0.6)

    private func x(_ ratio: Double) -> Int {
        let place = (ratio.log10 - Self.scale.from) / (Self.scale.to - Self.scale.from)
        return Self.labels + Int(max(0, min(1, place)) * Double(Self.width - Self.labels - 60))
    }

    var svg: String {
        // Rates are no times: more is better there.
        let rows = results.filter { $0.ratio != nil && $0.unit == "ns" }
        let height = 60 + rows.count * Self.row
        var lines = [
            #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(Self.width)" height="\#(height)" font-family="sans-serif" font-size="12">"#,
            #"<rect width="100%" height="100%" fill="white"/>"#,
            #"<text x="10" y="20" font-size="15">\#(title)</text>"#,
        ]
        for ratio in [0.01, 0.1, 1.0] {
            lines += [
                #"<line x1="\#(x(ratio))" y1="30" x2="\#(x(ratio))" y2="\#(height - 20)" stroke="silver"/>"#,
                #"<text x="\#(x(ratio))" y="\#(height - 6)" text-anchor="middle" fill="dimgray">\#(ratio)</text>"#,
            ]
        }
        for (number, result) in rows.enumerated() {
            let y = 36 + number * Self.row
            let ratio = result.ratio ?? 0
            let color = result.isMet == false ? "indianred" : "steelblue"
            let width = max(1, x(ratio) - Self.labels)
            lines += [
                #"<text x="\#(Self.labels - 8)" y="\#(y + 13)" text-anchor="end">\#(result.name)</text>"#,
                #"<rect x="\#(Self.labels)" y="\#(y)" width="\#(width)" height="16" fill="\#(color)"/>"#,
                #"<text x="\#(x(max(ratio, result.aim ?? 0)) + 5)" y="\#(y + 13)">\#(ratio.rounded(to: 3))</text>"#,
            ]
            if let aim = result.aim {
                lines.append(
                    #"<line x1="\#(x(aim))" y1="\#(y - 2)" x2="\#(x(aim))" y2="\#(y + 18)" stroke="black" stroke-width="2"/>"#
                )
            }
        }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    func write(to path: String) throws {
        let file = try FileReplacement(path: path)
        try file.descriptor.writeAll(Array(svg.utf8).span.bytes)
        try file.commit()
    }
}
