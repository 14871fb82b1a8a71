// One self-contained HTML page: headings, paragraphs, tables, line plots as SVG. No script, no font
// and no picture from elsewhere, so that a page can be mailed and still shows in ten years. Used by
// training reports, and made for evaluations, costs and claims too.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::report {

struct Point {
  double x = 0, y = 0;
};

// Points in rising x. A y that is not finite breaks the line.
struct Series {
  std::string name;
  std::vector<Point> points;
  bool dashed = false;
};

struct PlotOptions {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;
  int width = 720, height = 400;  // CSS pixels of the viewBox; the page scales it down.
  // Ends of an axis, where they are not those of the data; what lies beyond is cut off.
  std::optional<double> x_min = {}, x_max = {}, y_min = {}, y_max = {};
};

// One <svg> element: axes with round ticks, a grid, one line per series in colours that the
// colour-blind can tell apart, a legend, each series' last value. Long series are thinned to what
// the width can show, keeping each column's smallest and largest value. An empty plot says so.
std::string line_plot(const PlotOptions& options, const std::vector<Series>& series);

// Horizontal bars that add up to 1 in each row (share of -1, 0 and +1 of a layer, say).
struct ShareRow {
  std::string name;
  std::vector<double> shares;  // One per part.
};
std::string share_bars(const std::string& title, const std::vector<std::string>& parts,
                       const std::vector<ShareRow>& rows);

// First row of `cells` is the head. Numbers are set flush right. The body's rows in `marked` (1 is
// the first) are set off.
struct Table {
  std::vector<std::vector<std::string>> cells;
  std::vector<std::size_t> marked;
};

// Text is escaped everywhere; only svg() takes markup.
class Page {
 public:
  explicit Page(std::string title);
  void heading(std::string_view text, int level = 2);  // 2 or 3.
  void paragraph(std::string_view text);
  void preformatted(std::string_view text);  // Configs, samples; lines wrap.
  void table(const Table& table);
  void svg(std::string_view element);
  // Opens a section that a click folds; end_details() closes it.
  void begin_details(std::string_view summary, bool open);
  void end_details();
  std::string html() const;  // The whole document, UTF-8; light and dark by the reader's setting.

 private:
  std::string title_, body_;
};

std::string escape_html(std::string_view text);

}  // namespace tern::report
