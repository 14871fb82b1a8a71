// Stacked horizontal bars.
#include <algorithm>
#include <cmath>

#include "tern/report/page.h"
#include "tern/report/svg.h"

namespace tern::report {
namespace {

constexpr double kWidth = 560, kRow = 21, kBar = 16, kRight = 4;

// Three parts lie on a line with a middle (-1, 0, +1): two colours around a grey.
std::string part_fill(std::size_t part, std::size_t parts) {
  if (parts == 3 && part == 1) return "class=\"neutral\" fill=\"#bbbbbb\"";
  if (parts == 3) return fill_of(part == 0 ? 1 : 0);
  return fill_of(part);
}

std::string rectangle(double x, double y, double width, double height, const std::string& fill) {
  return "<rect " + fill + " x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" width=\"" +
         coordinate(width) + "\" height=\"" + coordinate(height) + "\"";
}

std::string legend(const std::vector<std::string>& parts, double y) {
  std::string out;
  double x = 2;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    out += rectangle(x, y - 11, 13, 13, part_fill(i, parts.size())) + "/>\n";
    out += text_at(x + 19, y, parts[i], "start", "legend");
    x += 19 + text_width(parts[i]) + 18;
  }
  return out;
}

std::string bars(const ShareRow& row, const std::vector<std::string>& parts, double left,
                 double y) {
  std::string out;
  const double width = kWidth - left - kRight;
  double x = left;
  for (std::size_t i = 0; i < row.shares.size(); ++i) {
    const double share = std::isfinite(row.shares[i]) ? std::clamp(row.shares[i], 0.0, 1.0) : 0;
    const double w = std::min(share * width, left + width - x);
    if (w <= 0) continue;
    const std::string percent = std::to_string(std::lround(100 * share)) + " %";
    out += rectangle(x, y, w, kBar, part_fill(i, parts.size())) + "><title>" +
           escape_html(row.name + (i < parts.size() ? ": " + parts[i] : "") + ": " + percent) +
           "</title></rect>\n";
    if (w > text_width(percent) + 8) {
      out += text_at(x + w / 2, y + 12.5, percent, "middle",
                     parts.size() == 3 && i == 1 ? "on-neutral" : "on-colour");
    }
    x += w;
  }
  return out;
}

}  // namespace

std::string share_bars(const std::string& title, const std::vector<std::string>& parts,
                       const std::vector<ShareRow>& rows) {
  if (rows.empty()) {
    return open_svg(kWidth, 60, title) +
           text_at(kWidth / 2, 45, "Nothing to show yet", "middle", "label") + "</svg>\n";
  }
  double names = 0;
  for (const ShareRow& row : rows) names = std::max(names, text_width(row.name));
  names = std::min(names, 0.4 * kWidth);
  const double legend_y = title.empty() ? 16 : 40, top = legend_y + 14;
  std::string out = open_svg(kWidth, top + kRow * static_cast<double>(rows.size()) + 4, title);
  out += legend(parts, legend_y);
  double y = top;
  for (const ShareRow& row : rows) {
    out += text_at(names, y + 12.5, fitted(row.name, names + 1), "end", "tick");
    out += bars(row, parts, names + 8, y);
    y += kRow;
  }
  return out + "</svg>\n";
}

}  // namespace tern::report
