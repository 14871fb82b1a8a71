// Four digits a byte, by table.
#include "tern/convert/digit_counts.h"

#include <mutex>

namespace tern::convert {
namespace {

// Of each byte: the number of codes 0, 1 and 2 in its four fields. Code 3 does not occur.
constexpr auto kCounts = [] {
  std::array<std::array<std::uint8_t, 4>, 256> table{};
  for (std::size_t byte = 0; byte < table.size(); ++byte) {
    for (std::size_t shift = 0; shift < 8; shift += 2) ++table[byte][(byte >> shift) & 3];
  }
  return table;
}();

}  // namespace

DigitCounts count_digits(const TernaryMatrix& matrix, ThreadPool& pool) {
  DigitCounts counts{};
  std::mutex mutex;
  pool.parallel_for(matrix.rows(), 1, [&](std::size_t begin, std::size_t end) {
    std::array<std::uint64_t, 256> bytes{};
    for (std::size_t r = begin; r < end; ++r) {
      const std::uint8_t* row = matrix.row(r);
      for (std::size_t i = 0; i < matrix.row_bytes(); ++i) ++bytes[row[i]];
    }
    const std::lock_guard lock(mutex);
    for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
      for (std::size_t d = 0; d < 3; ++d) counts[d] += bytes[byte] * kCounts[byte][d];
    }
  });
  counts[1] -= matrix.rows() * (matrix.padded_cols() - matrix.cols());  // Padding is weight 0.
  return counts;
}

}  // namespace tern::convert
