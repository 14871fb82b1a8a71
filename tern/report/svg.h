// What the plots share: text that fits, colours, coordinates.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tern::report {

// Of plain text, in pixels, at the size that narrow screens show: an estimate from above.
double text_width(std::string_view text);
// As much of `text` as fits, with an ellipsis where some is missing.
std::string fitted(std::string_view text, double width);

// One decimal: a tenth of a pixel is below what is seen.
std::string coordinate(double value);

// Okabe and Ito's colours, which people with any kind of colour vision tell apart. Pages change
// them by the class for a dark background. Seven; then they come again, dashed.
inline constexpr std::size_t kColours = 7;
std::string_view colour(std::size_t index) noexcept;

// class="sN" stroke="#..." or fill="#...": a colour that also holds where no page styles it.
std::string stroke_of(std::size_t index);
std::string fill_of(std::size_t index);

// <svg ...> with its accessible name and, where `title` is not empty, the visible one.
std::string open_svg(double width, double height, std::string_view title);
// <text> at a place; `anchor` is start, middle or end.
std::string text_at(double x, double y, std::string_view text, std::string_view anchor = "start",
                    std::string_view css_class = "");

}  // namespace tern::report
