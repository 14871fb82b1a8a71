// Pages and plots as a reader's browser gets them: well formed, escaped, and the marks in place.
#include "tern/report/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

#include "tern/report/axis.h"

namespace tern::report {
namespace {

// What keeps `text` from being well-formed XML (but for its entities' names), or "".
std::string xml_fault(std::string text) {
  static const std::regex kDoctype("^<!DOCTYPE html>\n"), kStyle("<style>[^<]*</style>");
  text = std::regex_replace(std::regex_replace(text, kDoctype, ""), kStyle, "<style/>");
  static const std::regex kTag(
      R"re(<(/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9:-]*="[^"<]*")*)\s*(/?)>)re");
  static const std::regex kBareAmpersand("&(?!(?:amp|lt|gt|quot|#39);)");
  std::smatch match;
  if (std::regex_search(text, match, kBareAmpersand)) return "a bare &";
  std::vector<std::string> open;
  auto at = text.cbegin();
  while (std::regex_search(at, text.cend(), match, kTag)) {
    const std::string between(at, match[0].first);
    if (between.find_first_of("<>") != std::string::npos) return "a bare < or > in: " + between;
    if (match[1].length() > 0) {
      if (open.empty() || open.back() != match[2]) return "</" + match[2].str() + "> closes none";
      open.pop_back();
    } else if (match[4].length() == 0) {
      open.push_back(match[2]);
    }
    at = match[0].second;
  }
  if (std::string(at, text.cend()).find_first_of("<>") != std::string::npos) return "a bare < or >";
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

TEST(XmlFault, IsFound) {
  EXPECT_EQ(xml_fault("<a b=\"1\"><c/>x &amp; y</a>\n"), "");
  EXPECT_NE(xml_fault("<a><b></a></b>"), "");
  EXPECT_NE(xml_fault("<a>1 < 2</a>"), "");
  EXPECT_NE(xml_fault("<a b='1'></a>"), "");
  EXPECT_NE(xml_fault("<a b=\"<\"></a>"), "");
  EXPECT_NE(xml_fault("<a>x & y</a>"), "");
  EXPECT_NE(xml_fault("<a>"), "");
}

std::vector<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator m(text.begin(), text.end(), regex), end; m != end; ++m) {
    found.push_back((*m)[1]);
  }
  return found;
}

// The d of the first path. Long ones overflow the stack of libstdc++'s regex, which recurses.
std::string path_data(const std::string& svg) {
  const std::size_t path = svg.find("<path ");
  const std::size_t begin = svg.find(" d=\"", path) + 4;
  return svg.substr(begin, svg.find('"', begin) - begin);
}

std::vector<Point> path_points(const std::string& svg) {
  const std::string d = path_data(svg);
  std::vector<Point> points;
  static const std::regex kPair("[ML]([-0-9.]+) ([-0-9.]+)");
  for (std::sregex_iterator m(d.begin(), d.end(), kPair), end; m != end; ++m) {
    points.push_back({std::stod((*m)[1]), std::stod((*m)[2])});
  }
  return points;
}

// Where the tick with this label stands, by its text.
double tick_place(const std::string& svg, const std::string& label, const char* anchor,
                  const char* axis) {
  const auto found = all_matches(svg, "<text class=\"tick\" [^>]*" + std::string(axis) +
                                          "=\"([-0-9.]+)\"[^>]*text-anchor=\"" + anchor + "\">" +
                                          label + "</text>");
  EXPECT_EQ(found.size(), 1u) << label;
  return found.empty() ? NAN : std::stod(found[0]);
}

std::vector<std::string> labels_of(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Tick& tick : axis.ticks) {
    if (!tick.label.empty()) labels.push_back(tick.label);
  }
  return labels;
}
using Labels = std::vector<std::string>;

TEST(AxisTicks, StandAtOneTwoAndFive) {
  EXPECT_EQ(labels_of(make_axis(0, 10, false, 5)), (Labels{"0", "2", "4", "6", "8", "10"}));
  EXPECT_EQ(labels_of(make_axis(0, 20.48e6, false, 6)), (Labels{"0", "5M", "10M", "15M", "20M"}));
  EXPECT_EQ(labels_of(make_axis(0, 1.5e-3, false, 4)), (Labels{"0", "0.0005", "0.0010", "0.0015"}));
  EXPECT_EQ(labels_of(make_axis(0, 1.5e-6, false, 4)),
            (Labels{"0", "5e\u22127", "1e\u22126", "1.5e\u22126"}));
  EXPECT_EQ(labels_of(make_axis(-1.1, 1.1, false, 5)),
            (Labels{"\u22121.0", "\u22120.5", "0", "0.5", "1.0"}));
  EXPECT_EQ(labels_of(make_axis(2.3, 2.72, false, 5)), (Labels{"2.3", "2.4", "2.5", "2.6", "2.7"}));
  EXPECT_EQ(labels_of(make_axis(9400, 10600, false, 5)), (Labels{"9.5k", "10.0k", "10.5k"}));
}

TEST(AxisTicks, LogAxesHavePowersOfTen) {
  EXPECT_EQ(labels_of(make_axis(0.9, 110, true, 6)),
            (Labels{"1", "2", "5", "10", "20", "50", "100"}));
  EXPECT_EQ(labels_of(make_axis(1e-6, 1e6, true, 4)),
            (Labels{"1e\u22126", "0.001", "1", "1000", "1M"}))
      << "every third power";
  EXPECT_EQ(labels_of(make_axis(1, 4, true, 4)), (Labels{"1", "2", "3", "4"}));
  const Axis axis = make_axis(1, 100, true, 4);
  EXPECT_DOUBLE_EQ(axis.share(1), 0);
  EXPECT_DOUBLE_EQ(axis.share(10), 0.5);
  EXPECT_DOUBLE_EQ(axis.share(100), 1);
}

TEST(ShortNumber, FourDigits) {
  EXPECT_EQ(short_number(2.73149), "2.731");
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(-0.5), "\u22120.5");
  EXPECT_EQ(short_number(9999), "9999");
  EXPECT_EQ(short_number(12345678), "12.35M");
  EXPECT_EQ(short_number(1.5e-5), "1.5e\u22125");
  EXPECT_EQ(short_number(3e20), "3e20");
  EXPECT_EQ(short_number(NAN), "\u2013");
}

TEST(LinePlot, TwoPointsStandAtTheirTicks) {
  const std::string svg =
      line_plot({"Loss", "tokens", "nats"}, {{"run", {{0, 2}, {40, 10}}, false}});
  EXPECT_EQ(xml_fault(svg), "");
  const std::vector<Point> points = path_points(svg);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_NEAR(points[0].x, tick_place(svg, "0", "middle", "x"), 0.11);
  EXPECT_NEAR(points[1].x, tick_place(svg, "40", "middle", "x"), 0.11);
  constexpr double kBaseline = 4.5;  // Text stands this much below the line it names.
  EXPECT_NEAR(points[0].y, tick_place(svg, "2", "end", "y") - kBaseline, 0.11);
  EXPECT_NEAR(points[1].y, tick_place(svg, "10", "end", "y") - kBaseline, 0.11);
  EXPECT_GT(points[0].y, points[1].y);  // Up is more.
  EXPECT_NE(svg.find("run <tspan font-weight=\"600\">10</tspan>"), std::string::npos);
}

TEST(LinePlot, LogAxesPutEqualRatiosAtEqualDistance) {
  PlotOptions options;
  options.log_x = options.log_y = true;
  const std::string svg =
      line_plot(options, {{"a", {{1, 1}, {10, 100}, {100, 1e4}, {0, 5}, {1000, -1}}, false}});
  const std::vector<Point> p = path_points(svg);
  ASSERT_EQ(p.size(), 3u);  // What has no logarithm is not there.
  EXPECT_NEAR(p[1].x - p[0].x, p[2].x - p[1].x, 0.21);
  EXPECT_NEAR(p[1].y - p[0].y, p[2].y - p[1].y, 0.21);
}

TEST(LinePlot, AValueThatIsNotFiniteBreaksTheLine) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = line_plot(
      {}, {{"a", {{0, 1}, {1, 2}, {2, nan}, {3, 3}, {4, INFINITY}, {5, 1}, {6, 2}}, false}});
  const std::string d = path_data(svg);
  EXPECT_EQ(std::count(d.begin(), d.end(), 'M'), 2);
  EXPECT_EQ(std::count(d.begin(), d.end(), 'L'), 2);
  // The value alone between two gaps, and the end of the line.
  EXPECT_EQ(all_matches(svg, "<circle [^>]*r=\"([^\"]*)\"").size(), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(LinePlot, ThinningKeepsEveryExtreme) {
  std::vector<Point> points;
  for (int i = 0; i < 100000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.7)});
  points[12345].y = 50;
  points[77777].y = -40;
  const std::string svg = line_plot({}, {{"a", points, false}});
  const std::vector<Point> drawn = path_points(svg);
  EXPECT_LE(drawn.size(), 4u * 720);
  double top = 1e9, bottom = -1e9;
  for (const Point& p : drawn) {
    top = std::min(top, p.y);
    bottom = std::max(bottom, p.y);
  }
  const double at40 = tick_place(svg, "40", "end", "y"), at0 = tick_place(svg, "0", "end", "y");
  const double per_unit = (at0 - at40) / 40;
  EXPECT_NEAR(bottom - top, 90 * per_unit, 0.5);
  // In each column the sine's whole range is there.
  int full = 0;
  for (std::size_t i = 1; i < drawn.size(); ++i) {
    if (std::abs(drawn[i].y - drawn[i - 1].y) > 1.9 * per_unit) ++full;
  }
  EXPECT_GT(full, 600);
  for (std::size_t i = 1; i < drawn.size(); ++i) ASSERT_GE(drawn[i].x, drawn[i - 1].x);
}

TEST(LinePlot, OddInputStaysAPlot) {
  EXPECT_NE(line_plot({"T", "x", "y"}, {}).find("Nothing to show yet"), std::string::npos);
  EXPECT_NE(line_plot({}, {{"a", {{1, NAN}}, false}}).find("Nothing to show yet"),
            std::string::npos);
  for (const std::vector<Point>& points : {std::vector<Point>{{5, 7}},
                                           {{0, 0}, {1, 0}},
                                           {{0, 3}, {1, 3 + 1e-15}},
                                           {{0, -1e300}, {1, 1e300}},
                                           {{0, 5e-324}, {1, 1e-323}},
                                           {{1e15, 1}, {1e15 + 1, 2}}}) {
    for (const bool log : {false, true}) {
      PlotOptions options;
      options.title = "Odd";
      options.log_y = log;
      const std::string svg = line_plot(options, {{"a", points, false}});
      EXPECT_EQ(xml_fault(svg), "");
      EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
      EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
      EXPECT_LT(svg.size(), 20000u);
    }
  }
  PlotOptions ends;
  ends.y_min = 0;
  ends.y_max = 2;
  ends.x_min = 9;
  ends.x_max = 9;  // No length: the data's own ends hold.
  const std::string svg = line_plot(ends, {{"a", {{0, 1}, {1, 99}}, false}});
  EXPECT_FALSE(std::isnan(tick_place(svg, "2.0", "end", "y")));
  EXPECT_FALSE(std::isnan(tick_place(svg, "1.0", "middle", "x")));
}

TEST(LinePlot, ManySeriesStayApart) {
  std::vector<Series> series;
  for (int i = 0; i < 10; ++i) {
    series.push_back({"run number " + std::to_string(i), {{0, i * 1.0}, {1, i + 1.0}}, i == 1});
  }
  const std::string svg = line_plot({"Many", "x", "y"}, series);
  EXPECT_EQ(xml_fault(svg), "");
  const auto strokes = all_matches(svg, "<path (class=\"s[0-9]\"[^>]*)><title>");
  ASSERT_EQ(strokes.size(), 10u);
  std::vector<std::string> looks;
  for (const std::string& stroke : strokes) {
    looks.push_back(all_matches(stroke, "stroke=\"([^\"]*)\"")[0] +
                    (stroke.find("dasharray") == std::string::npos ? "" : " dashed"));
  }
  std::sort(looks.begin(), looks.end());
  EXPECT_EQ(std::unique(looks.begin(), looks.end()), looks.end() - 1);  // "dashed" 1 and 8.
}

TEST(ShareBars, WidthsAreTheShares) {
  const std::string svg = share_bars("Shares", {"-1", "0", "+1"},
                                     {{"0.q_proj", {0.25, 0.5, 0.25}}, {"b", {0, 1, NAN}}});
  EXPECT_EQ(xml_fault(svg), "");
  const auto widths = all_matches(svg, "<rect [^>]* width=\"([0-9.]+)\"[^>]*><title>");
  ASSERT_EQ(widths.size(), 4u);  // A share of 0 has no bar.
  EXPECT_NEAR(std::stod(widths[1]), 2 * std::stod(widths[0]), 0.2);
  EXPECT_NEAR(std::stod(widths[3]), 4 * std::stod(widths[0]), 0.4);
  EXPECT_NE(svg.find("0.q_proj: 0: 50 %"), std::string::npos);
  EXPECT_EQ(xml_fault(share_bars("None", {"a"}, {})), "");
}

TEST(Page, EscapesEverythingButSvg) {
  const std::string nasty = "<script>alert(\"x\" & 'y')</script>";
  Page page(nasty);
  page.heading(nasty);
  page.heading(nasty, 3);
  page.paragraph(nasty + "\x01\xff");
  page.preformatted("\n" + nasty);
  page.begin_details(nasty, true);
  page.table({{{nasty, "n"}, {"x", nasty}}, {}});
  page.end_details();
  page.svg(line_plot({nasty, nasty, nasty}, {{nasty, {{0, 1}, {1, 2}}, false}}));
  page.svg(share_bars(nasty, {nasty}, {{nasty, {1}}}));
  const std::string html = page.html();
  EXPECT_EQ(xml_fault(html), "");
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(&quot;x&quot; &amp; &#39;y&#39;)&lt;/script&gt;"),
            std::string::npos);
  EXPECT_NE(html.find("\uFFFD\uFFFD</p>"), std::string::npos);
  EXPECT_NE(html.find("<pre>\n\n&lt;"), std::string::npos);  // The first line break is the text's.
  // Nothing is fetched from anywhere.
  EXPECT_EQ(html.find("src="), std::string::npos);
  EXPECT_EQ(html.find("href="), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
}

TEST(Page, TablesSetNumbersFlushRightAndMarkRows) {
  Page page("T");
  page.table({{{"name", "loss", "mixed"},
               {"a", "1.25", "x"},
               {"b",
                "\u2212"
                "3e5",
                "42 %"},
               {"c", "\u2013", "12.3M"},
               {"d", "", "1.2.3"}},
              {2}});
  const std::string html = page.html();
  EXPECT_NE(html.find("<th>name</th><th class=\"n\">loss</th><th>mixed</th>"), std::string::npos);
  EXPECT_NE(html.find("<tr><td>a</td><td class=\"n\">1.25</td><td>x</td></tr>"), std::string::npos);
  EXPECT_NE(html.find("<tr class=\"marked\"><td>b</td><td class=\"n\">\u2212"
                      "3e5</td>"
                      "<td class=\"n\">42 %</td></tr>"),
            std::string::npos);
  EXPECT_NE(html.find("<td class=\"n\">12.3M</td>"), std::string::npos);
  EXPECT_NE(html.find("<td>1.2.3</td>"), std::string::npos);
}

}  // namespace
}  // namespace tern::report
