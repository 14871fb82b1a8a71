// The look-up tables of the vector decoder of five ternary digits per byte.
#include "tern/kernels/kernel_table.h"
#include "tern/tensor/ternary_code.h"

namespace tern::kernels {
namespace {

using namespace five_per_byte;

constexpr FivePerByteTables make_tables() {
  FivePerByteTables tables{};
  for (unsigned slot = 0; slot < 64; ++slot) {
    tables.quads[slot] = static_cast<std::uint8_t>(kDecode[slot]);
  }
  for (unsigned slot = 0; slot < 63; ++slot) {
    const unsigned escaped = kDecode[kEscape << 6 | slot];
    if (escaped == 0xffff) continue;
    const unsigned flip = (escaped ^ tables.quads[slot]) & 255;
    // c3 (bits 6-7 of the quad) is the slot's own, so those bits are free for c4.
    tables.patches[slot + 1] = static_cast<std::uint8_t>(flip | (kEscape ^ escaped >> 8) << 6);
  }
  return tables;
}

}  // namespace

constinit const FivePerByteTables kFivePerByteTables = make_tables();

}  // namespace tern::kernels
