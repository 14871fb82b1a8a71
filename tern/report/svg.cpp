// SVG elements whose looks stand in attributes, so that an element shows without its page as well.
#include "tern/report/svg.h"

#include <array>
#include <charconv>

#include "tern/report/page.h"

namespace tern::report {
namespace {

constexpr std::array<std::string_view, kColours> kPalette{
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"};
constexpr double kNarrowScreenFont = 16;  // Pixels of the viewBox; see the page's style.

bool continues_character(char c) noexcept { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

double width_of(unsigned char lead) noexcept {
  // Three and four bytes: mostly East Asian letters, one em wide.
  return kNarrowScreenFont * (lead >= 0xe0 ? 1.0 : 0.58);
}

}  // namespace

double text_width(std::string_view text) {
  double width = 0;
  for (const char c : text) {
    if (!continues_character(c)) width += width_of(static_cast<unsigned char>(c));
  }
  return width;
}

std::string fitted(std::string_view text, double width) {
  if (text_width(text) <= width) return std::string(text);
  double used = kNarrowScreenFont;
  std::size_t end = 0;
  while (end < text.size()) {
    used += width_of(static_cast<unsigned char>(text[end]));
    if (used > width) break;
    ++end;
    while (end < text.size() && continues_character(text[end])) ++end;
  }
  return std::string(text.substr(0, end)) + "\u2026";
}

std::string coordinate(double value) {
  std::array<char, 400> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, 1)
                       .ptr;
  std::string text(buffer.data(), end);
  if (text.ends_with(".0")) text.erase(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string_view colour(std::size_t index) noexcept { return kPalette[index % kColours]; }

std::string stroke_of(std::size_t index) {
  return "class=\"s" + std::to_string(index % kColours) + "\" stroke=\"" +
         std::string(colour(index)) + "\"";
}

std::string fill_of(std::size_t index) {
  return "class=\"f" + std::to_string(index % kColours) + "\" fill=\"" +
         std::string(colour(index)) + "\"";
}

std::string open_svg(double width, double height, std::string_view title) {
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + coordinate(width) +
                    " " + coordinate(height) +
                    "\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\" "
                    "fill=\"#222\"><title>" +
                    escape_html(title) + "</title>\n";
  if (!title.empty()) {
    out += "<text class=\"title\" x=\"2\" y=\"18\" font-weight=\"600\">" +
           escape_html(fitted(title, width)) + "</text>\n";
  }
  return out;
}

std::string text_at(double x, double y, std::string_view text, std::string_view anchor,
                    std::string_view css_class) {
  std::string out = "<text";
  if (!css_class.empty()) out += " class=\"" + std::string(css_class) + "\"";
  out += " x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\"";
  if (anchor != "start") out += " text-anchor=\"" + std::string(anchor) + "\"";
  return out + ">" + escape_html(text) + "</text>\n";
}

}  // namespace tern::report
