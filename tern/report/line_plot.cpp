// Lines over two axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tern/report/axis.h"
#include "tern/report/page.h"
#include "tern/report/svg.h"

namespace tern::report {
namespace {

struct Frame {
  double left = 0, top = 0, width = 0, height = 0;
  double right() const noexcept { return left + width; }
  double bottom() const noexcept { return top + height; }
};

struct Extent {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  void add(double value) noexcept {
    min = std::min(min, value);
    max = std::max(max, value);
  }
  bool empty() const noexcept { return min > max; }
};

bool shown(const Point& p, const PlotOptions& o) noexcept {
  return std::isfinite(p.x) && std::isfinite(p.y) && !(o.log_x && p.x <= 0) &&
         !(o.log_y && p.y <= 0);
}

// Room above and below the data; none below 0 where nothing is negative.
Extent padded(Extent e, bool log) {
  if (log) {
    const double factor = e.max > e.min ? std::pow(e.max / e.min, 0.05) : 1.5;
    return {e.min / factor, e.max * factor};
  }
  double room = 0.05 * (e.max - e.min);
  // A flat line, but for rounding: an axis cannot tell apart what a double hardly can.
  if (room <= 1e-9 * std::abs(e.max)) room = std::abs(e.max) > 0 ? 0.1 * std::abs(e.max) : 1;
  const bool positive = e.min >= 0;
  e.min -= room;
  e.max += room;
  if (positive && e.min < 0) e.min = 0;
  return e;
}

// As it is; one value alone gets room on both sides.
Extent widened(Extent e, bool log) {
  if (e.max - e.min > 1e-12 * std::abs(e.max)) return e;
  return padded(e, log);
}

struct Scale {
  Axis x, y;
  Frame frame;
  Point place(const Point& p) const noexcept {
    return {frame.left + x.share(p.x) * frame.width, frame.bottom() - y.share(p.y) * frame.height};
  }
};

// --- Lines -------------------------------------------------------------------------------------

// The points of one pixel column that matter: first, lowest, highest and last, in their order.
class Column {
 public:
  explicit Column(std::vector<Point>& out) : out_(out) {}
  ~Column() { end(); }
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;

  void add(const Point& p) {
    const double column = std::floor(p.x);
    if (points_.empty() || column != column_) {
      end();
      column_ = column;
    }
    points_.push_back(p);
  }
  void end() {
    if (points_.size() > 4) {
      const auto by_y = [](const Point& a, const Point& b) { return a.y < b.y; };
      const auto [low, high] = std::minmax_element(points_.begin(), points_.end(), by_y);
      auto first = low, second = high;
      if (second < first) std::swap(first, second);
      out_.push_back(points_.front());
      if (first != points_.begin()) out_.push_back(*first);
      if (second != first && second != points_.end() - 1) out_.push_back(*second);
      out_.push_back(points_.back());
    } else {
      out_.insert(out_.end(), points_.begin(), points_.end());
    }
    points_.clear();
  }

 private:
  std::vector<Point>& out_;
  std::vector<Point> points_;
  double column_ = 0;
};

// Pieces of a line in pixels, broken where a value is missing.
std::vector<std::vector<Point>> pieces(const Series& series, const PlotOptions& options,
                                       const Scale& scale) {
  std::vector<std::vector<Point>> out;
  auto p = series.points.begin();
  const auto end = series.points.end();
  while (p != end) {
    p = std::find_if(p, end, [&](const Point& q) { return shown(q, options); });
    if (p == end) break;
    Column column(out.emplace_back());
    for (; p != end && shown(*p, options); ++p) column.add(scale.place(*p));
  }
  return out;
}

std::string path_data(const std::vector<Point>& points) {
  std::string d;
  for (const Point& p : points) {
    d += (d.empty() ? "M" : "L") + coordinate(p.x) + " " + coordinate(p.y);
  }
  return d;
}

std::string dash_of(const Series& series, std::size_t index) {
  if (series.dashed) return " stroke-dasharray=\"6 4\"";
  return index >= kColours ? " stroke-dasharray=\"2 3\"" : "";
}

std::string line(const Series& series, std::size_t index, const PlotOptions& options,
                 const Scale& scale) {
  std::string d, dots;
  const auto dot = [&](const Point& p, const char* radius) {
    dots += "<circle " + fill_of(index) + " cx=\"" + coordinate(p.x) + "\" cy=\"" +
            coordinate(p.y) + "\" r=\"" + radius + "\"/>\n";
  };
  const auto lines = pieces(series, options, scale);
  for (const std::vector<Point>& piece : lines) {
    if (piece.size() == 1) {
      dot(piece.front(), "2.5");  // A value between two gaps is no line, but it is there.
    } else {
      d += path_data(piece);
    }
  }
  std::string out;
  if (!d.empty()) {
    out = "<path " + stroke_of(index) + " d=\"" + d + "\" fill=\"none\" stroke-width=\"1.6\" " +
          "stroke-linejoin=\"round\"" + dash_of(series, index) + "><title>" +
          escape_html(series.name) + "</title></path>\n";
  }
  if (!lines.empty() && lines.back().size() > 1) dot(lines.back().back(), "3");
  return out + dots;
}

// --- Axes and legend ---------------------------------------------------------------------------

std::string rule(double x1, double y1, double x2, double y2, const char* attributes) {
  return "<line x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) + "\" x2=\"" +
         coordinate(x2) + "\" y2=\"" + coordinate(y2) + "\" " + attributes + "/>\n";
}

constexpr const char* kGrid = "class=\"grid\" stroke=\"#e3e3e3\"";
constexpr const char* kAxis = "class=\"axis\" stroke=\"#888\"";

std::string axes(const PlotOptions& options, const Scale& scale) {
  const Frame& f = scale.frame;
  std::string out;
  for (const Tick& tick : scale.y.ticks) {
    const double y = f.bottom() - scale.y.share(tick.value) * f.height;
    out += rule(f.left, y, f.right(), y, kGrid);
    if (!tick.label.empty()) out += text_at(f.left - 7, y + 4.5, tick.label, "end", "tick");
  }
  double free_from = 0;
  for (const Tick& tick : scale.x.ticks) {
    const double x = f.left + scale.x.share(tick.value) * f.width;
    out += rule(x, f.top, x, f.bottom(), kGrid);
    const double half = text_width(tick.label) / 2;
    if (tick.label.empty() || x - half < free_from) continue;
    out += text_at(x, f.bottom() + 18, tick.label, "middle", "tick");
    free_from = x + half + 4;
  }
  out += rule(f.left, f.bottom(), f.right(), f.bottom(), kAxis);
  out += rule(f.left, f.top, f.left, f.bottom(), kAxis);
  out += text_at(f.left + f.width / 2, f.bottom() + 38, options.x_label, "middle", "label");
  if (!options.y_label.empty()) {
    const std::string middle = coordinate(f.top + f.height / 2);
    out += "<text class=\"label\" transform=\"rotate(-90 16 " + middle + ")\" x=\"16\" y=\"" +
           middle + "\" text-anchor=\"middle\">" + escape_html(options.y_label) + "</text>\n";
  }
  return out;
}

struct LegendEntry {
  std::string name, value;
  double x = 0;
  int row = 0;
};

std::string last_value(const Series& series) {
  for (auto p = series.points.rbegin(); p != series.points.rend(); ++p) {
    if (std::isfinite(p->y)) return short_number(p->y);
  }
  return "\u2013";
}

constexpr double kSwatch = 26, kLegendGap = 18, kLegendRow = 20;

std::vector<LegendEntry> place_legend(const std::vector<Series>& series, double width) {
  std::vector<LegendEntry> entries;
  double x = 2;
  int row = 0;
  for (const Series& s : series) {
    LegendEntry entry{"", last_value(s), 0, 0};
    const double value_width = text_width(entry.value) + 8;
    entry.name = fitted(s.name, std::max(40.0, width - kSwatch - value_width - 4));
    const double needed = kSwatch + text_width(entry.name) + value_width;
    if (x > 2 && x + needed > width) {
      x = 2;
      ++row;
    }
    entry.x = x;
    entry.row = row;
    x += needed + kLegendGap;
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string legend(const std::vector<LegendEntry>& entries, const std::vector<Series>& series,
                   double top) {
  std::string out;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const LegendEntry& e = entries[i];
    const double y = top + e.row * kLegendRow;
    out += "<line " + stroke_of(i) + " x1=\"" + coordinate(e.x) + "\" y1=\"" + coordinate(y - 4.5) +
           "\" x2=\"" + coordinate(e.x + kSwatch - 7) + "\" y2=\"" + coordinate(y - 4.5) +
           "\" stroke-width=\"2.5\"" + dash_of(series[i], i) + "/>\n";
    out += "<text class=\"legend\" x=\"" + coordinate(e.x + kSwatch) + "\" y=\"" + coordinate(y) +
           "\">" + escape_html(e.name) + " <tspan font-weight=\"600\">" + escape_html(e.value) +
           "</tspan></text>\n";
  }
  return out;
}

// --- The whole ---------------------------------------------------------------------------------

// The caller's ends, where they leave an axis that has a length.
void override_ends(Extent& e, std::optional<double> min, std::optional<double> max, bool log) {
  const double low = min.value_or(e.min), high = max.value_or(e.max);
  if (!(low < high) || !std::isfinite(low) || !std::isfinite(high) || (log && low <= 0)) return;
  e = {low, high};
}

Scale make_scale(const PlotOptions& o, Extent x, Extent y, double top) {
  override_ends(x, o.x_min, o.x_max, o.log_x);
  override_ends(y, o.y_min, o.y_max, o.log_y);
  const double height = o.height - top - 48;
  Scale scale;
  scale.y = make_axis(y.min, y.max, o.log_y, std::max(2, static_cast<int>(height / 32)));
  double labels = 0;
  for (const Tick& tick : scale.y.ticks) labels = std::max(labels, text_width(tick.label));
  const double left = (o.y_label.empty() ? 10 : 30) + labels;
  scale.frame = {left, top, std::max(40.0, o.width - left - 16), std::max(40.0, height)};
  scale.x = make_axis(x.min, x.max, o.log_x, std::max(2, static_cast<int>(scale.frame.width / 68)));
  return scale;
}

std::string empty_plot(const PlotOptions& o) {
  return open_svg(o.width, 90, o.title) + "<rect class=\"frame\" x=\"0.5\" y=\"28.5\" width=\"" +
         coordinate(o.width - 1) +
         "\" height=\"60\" fill=\"none\" stroke=\"#888\" stroke-dasharray=\"3 4\"/>\n" +
         text_at(o.width / 2.0, 63, "Nothing to show yet", "middle", "label") + "</svg>\n";
}

}  // namespace

std::string line_plot(const PlotOptions& options, const std::vector<Series>& series) {
  Extent x, y;
  for (const Series& s : series) {
    for (const Point& p : s.points) {
      if (!shown(p, options)) continue;
      x.add(p.x);
      y.add(p.y);
    }
  }
  if (x.empty()) return empty_plot(options);
  const std::vector<LegendEntry> entries = place_legend(series, options.width);
  const double legend_top = options.title.empty() ? 16 : 40;
  const double top = legend_top + entries.back().row * kLegendRow + 14;
  const Scale scale = make_scale(options, widened(x, options.log_x), padded(y, options.log_y), top);
  const Frame& f = scale.frame;

  std::string out = open_svg(options.width, f.bottom() + 48, options.title);
  out += legend(entries, series, legend_top);
  out += axes(options, scale);
  // What the options cut off must not run over the labels. Elsewhere 4 pixels for dots on the edge.
  const double over = options.y_max ? 0 : 4;
  const std::string box = coordinate(f.left - 4) + " " + coordinate(f.top - over) + " " +
                          coordinate(f.width + 8) + " " + coordinate(f.height + over + 4);
  out += "<svg x=\"" + coordinate(f.left - 4) + "\" y=\"" + coordinate(f.top - over) +
         "\" width=\"" + coordinate(f.width + 8) + "\" height=\"" +
         coordinate(f.height + over + 4) + "\" viewBox=\"" + box + "\">\n";
  for (std::size_t i = 0; i < series.size(); ++i) out += line(series[i], i, options, scale);
  return out + "</svg>\n</svg>\n";
}

}  // namespace tern::report
