// Digits of a byte by table.
#include "tern/convert/digit_counts.h"

#include <mutex>

namespace tern::convert {
namespace {

// Of each byte of a layout: the number of codes 0, 1 and 2 in its fields.
std::array<std::array<std::uint8_t, 4>, 256> code_counts(TernaryLayout layout) {
  std::array<std::array<std::uint8_t, 4>, 256> table{};
  for (std::size_t byte = 0; byte < table.size(); ++byte) {
    for (std::size_t f = 0; f < ternary_fields(layout); ++f) {
      ++table[byte][ternary_code(layout, static_cast<std::uint8_t>(byte), f)];
    }
  }
  return table;
}

}  // namespace

DigitCounts count_digits(const TernaryMatrix& matrix, ThreadPool& pool) {
  DigitCounts counts{};
  std::mutex mutex;
  const auto per_byte = code_counts(matrix.layout());
  pool.parallel_for(matrix.tiles(), 1, [&](std::size_t begin, std::size_t end) {
    std::array<std::uint64_t, 256> bytes{};
    const std::uint8_t* tile = matrix.tile(begin);
    for (std::size_t i = 0; i < (end - begin) * matrix.tile_bytes(); ++i) ++bytes[tile[i]];
    const std::lock_guard lock(mutex);
    for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
      for (std::size_t d = 0; d < 3; ++d) counts[d] += bytes[byte] * per_byte[byte][d];
    }
  });
  // Padding is weight 0.
  counts[1] -=
      matrix.tiles() * kTernaryTileRows * matrix.padded_cols() - matrix.rows() * matrix.cols();
  return counts;
}

}  // namespace tern::convert
