// Steps of 1, 2 and 5.
#include "tern/report/axis.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace tern::report {
namespace {

struct Unit {
  double size;
  std::string_view suffix;
};
constexpr std::array kUnits{Unit{1e12, "T"}, Unit{1e9, "B"}, Unit{1e6, "M"}, Unit{1e3, "k"}};
constexpr double kFirstWithUnit = 1e4;  // 9,000 needs none.

Unit unit_for(double largest) noexcept {
  if (largest >= kFirstWithUnit) {
    for (const Unit& unit : kUnits) {
      if (largest >= unit.size) return unit;
    }
  }
  return {1, ""};
}

// A minus is as wide as a digit; a hyphen is not.
std::string with_minus(std::string text) {
  for (std::size_t at = text.find('-'); at != std::string::npos; at = text.find('-', at + 1)) {
    text.replace(at, 1, "\u2212");
  }
  return text;
}

std::string in_format(double value, std::chars_format format, int precision) {
  std::array<char, 400> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision).ptr;
  return std::string(buffer.data(), end);
}

// "1.50e-05" becomes "1.5e-5".
std::string scientific(double value, int precision) {
  std::string text = in_format(value, std::chars_format::scientific, precision);
  const std::size_t e = text.find('e');
  std::string mantissa = text.substr(0, e), exponent = text.substr(e + 1);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  const bool negative = exponent.front() == '-';
  exponent.erase(0, 1);
  exponent.erase(0, std::min(exponent.find_first_not_of('0'), exponent.size() - 1));
  return mantissa + "e" + (negative ? "-" : "") + exponent;
}

double nice_step(double span, int wanted) noexcept {
  const double raw = span / std::max(wanted, 1);
  const double magnitude = std::pow(10, std::floor(std::log10(raw)));
  const double first = raw / magnitude;
  for (const double nice : {1.0, 2.0, 5.0}) {
    if (first <= nice * (1 + 1e-9)) return nice * magnitude;
  }
  return 10 * magnitude;
}

std::string even_label(double value, double step, double largest) {
  const Unit unit = unit_for(largest);
  const int decimals =
      std::max(0, static_cast<int>(-std::floor(std::log10(step / unit.size) + 1e-9)));
  if (value == 0) return "0";
  if (decimals > 5) return with_minus(scientific(value, 3));
  return with_minus(in_format(value / unit.size, std::chars_format::fixed, decimals)) +
         std::string(unit.suffix);
}

std::vector<Tick> even_ticks(double min, double max, int wanted) {
  std::vector<Tick> ticks;
  const double step = nice_step(max - min, wanted);
  const double largest = std::max(std::abs(min), std::abs(max));
  const double first = std::ceil(min / step - 1e-9), last = std::floor(max / step + 1e-9);
  // Where values differ in their last bits only, a step can vanish, or count beyond 2^53.
  if (!(last - first <= 1000) || !(std::abs(first) < 1e15) || !(std::abs(last) < 1e15))
    return ticks;
  for (double i = first; i <= last; ++i) {
    ticks.push_back({i * step, even_label(i * step, step, largest)});
  }
  return ticks;
}

std::vector<Tick> log_ticks(double min, double max, int wanted) {
  std::vector<Tick> ticks;
  const int first = static_cast<int>(std::floor(std::log10(min)));
  const int last = static_cast<int>(std::ceil(std::log10(max)));
  const int every = std::max(1, (last - first + wanted - 1) / std::max(wanted, 1));
  const bool label_between = 3 * (last - first) <= 2 * wanted;
  for (int power = first; power <= last; ++power) {
    for (const int factor : {1, 2, 5}) {
      if (factor != 1 && every > 1) continue;
      const double value = factor * std::pow(10, power);
      if (value < min * (1 - 1e-9) || value > max * (1 + 1e-9)) continue;
      const bool labelled = factor == 1 ? (power - first) % every == 0 : label_between;
      ticks.push_back({value, labelled ? short_number(value) : ""});
    }
  }
  return ticks;
}

}  // namespace

double Axis::share(double value) const noexcept {
  if (log) return std::log(value / min) / std::log(max / min);
  return (value - min) / (max - min);
}

Axis make_axis(double min, double max, bool log, int wanted) {
  Axis axis{min, max, log, {}};
  axis.ticks = log && max / min >= 8 ? log_ticks(min, max, wanted) : even_ticks(min, max, wanted);
  return axis;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "\u2013";
  const double size = std::abs(value);
  if (value == 0) return "0";
  if (size < 1e-4 || size >= 1e15) return with_minus(scientific(value, 3));
  const Unit unit = unit_for(size);
  return with_minus(in_format(value / unit.size, std::chars_format::general, 4)) +
         std::string(unit.suffix);
}

}  // namespace tern::report
