// Where an axis has its ticks and how their numbers are written.
#pragma once

#include <string>
#include <vector>

namespace tern::report {

struct Tick {
  double value = 0;
  std::string label;  // Empty on a log axis for ticks between labelled ones.
};

// The span of an axis and its ticks, about `wanted` of them, at 1, 2 or 5 times a power of ten. A
// log axis has them at powers of ten and, where it spans few, at 2 and 5 times these; one that
// spans less than a factor of eight has even ones.
// Requires min < max, both finite, and min > 0 on a log axis.
struct Axis {
  double min = 0, max = 1;
  bool log = false;
  std::vector<Tick> ticks;

  // 0 at min, 1 at max.
  double share(double value) const noexcept;
};
Axis make_axis(double min, double max, bool log, int wanted);

// Four significant digits, no more than needed: "2.731", "12.3M", "1.5e-5". "–" for what is not
// finite.
std::string short_number(double value);

}  // namespace tern::report
