import Metrics
import Testing

/// The text exposition format 0.0.4.
@Suite struct TextTests {
    private func text(_ values: MetricFamily.Values, help: String = "Help.") -> String {
        MetricFamily.text(of: [MetricFamily("name", help: help, values)])
    }

    @Test func aFamilySaysOnceWhatItIsAndThenItsValues() {
        let family = MetricFamily(
            "apples_total", help: "Apples that fell.",
            .counter([Metric([], 1), Metric([MetricLabel("tree", "a"), MetricLabel("kind", "b")], 2)]))
        let other = MetricFamily("weight_grams", help: "How heavy.", .gauge([Metric([], 0.5)]))
        #expect(
            MetricFamily.text(of: [family, other]) == """
                # HELP apples_total Apples that fell.
                # TYPE apples_total counter
                apples_total 1
                apples_total{tree="a",kind="b"} 2
                # HELP weight_grams How heavy.
                # TYPE weight_grams gauge
                weight_grams 0.5

                """)
    }

    @Test func aFamilyWithoutValuesIsLeftOut() {
        #expect(text(.counter([])).isEmpty)
        #expect(text(.histogram([])).isEmpty)
        #expect(MetricFamily.text(of: []).isEmpty)
    }

    @Test func labelsAndHelpAreEscaped() {
        let odd = "a\\b\"c\nd\u{0}é\r"
        #expect(
            text(.gauge([Metric([MetricLabel("l", odd)], 1)]), help: "x\\y\nz\"") == """
                # HELP name x\\\\y\\nz"
                # TYPE name gauge
                name{l="a\\\\b\\"c\\nd\u{FFFD}é\u{FFFD}"} 1

                """)
    }

    @Test(
        arguments: [
            (0, "0"), (-3, "-3"), (9_007_199_254_740_991, "9007199254740991"), (0.25, "0.25"), (1e300, "1e+300"),
            (2.56e-7, "2.56e-07"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
            (0x1p64, "1.8446744073709552e+19"),
        ] as [(Double, String)])
    func numbersAreWrittenAsGoReadsThem(value: Double, written: String) {
        #expect(text(.gauge([Metric([], value)])).hasSuffix("\nname \(written)\n"))
    }

    @Test func bucketsOfAHistogramHoldTheSmallerOnesToo() throws {
        let histogram = try #require(Histogram([0.5: 3, 0.001: 2], rest: 1, sum: 4.25))
        #expect(
            text(.histogram([Metric([MetricLabel("l", "v")], histogram)])) == """
                # HELP name Help.
                # TYPE name histogram
                name_bucket{l="v",le="0.001"} 2
                name_bucket{l="v",le="0.5"} 5
                name_bucket{l="v",le="+Inf"} 6
                name_sum{l="v"} 4.25
                name_count{l="v"} 6

                """)
    }

    @Test func moreValuesThanCanBeCountedMakeNoHistogram() {
        #expect(Histogram([1: .max], rest: 0, sum: 0)?.count == .max)
        #expect(Histogram([1: .max, 2: 1], rest: 0, sum: 0) == nil)
        #expect(Histogram([1: .max], rest: 1, sum: 0) == nil)
    }
}
