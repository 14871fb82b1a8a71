// The tables of rotary embedding and their use.
#include "tern/kernels/rope.h"

#include "tern/base/math.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {

RopeTable::RopeTable(std::size_t positions, std::span<const double> frequencies)
    : positions_(positions),
      half_(frequencies.size()),
      values_(positions * frequencies.size() * 2 * sizeof(float)) {
  float* out = values_.as<float>().data();
  for (std::size_t p = 0; p < positions; ++p, out += 2 * half_) {
    for (std::size_t i = 0; i < half_; ++i) {
      const double angle = static_cast<double>(p) * frequencies[i];
      out[i] = static_cast<float>(math::cos(angle));
      out[half_ + i] = static_cast<float>(math::sin(angle));
    }
  }
}

const float* RopeTable::cos(std::size_t position) const noexcept {
  return values_.as<float>().data() + position * 2 * half_;
}

const float* RopeTable::sin(std::size_t position) const noexcept { return cos(position) + half_; }

void rope(const KernelTable& k, float* x, std::size_t heads, std::size_t head_dim, const float* cos,
          const float* sin) noexcept {
  k.rope(x, heads, head_dim / 2, cos, sin);
}

}  // namespace tern::kernels
