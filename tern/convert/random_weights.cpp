// SplitMix64, eight bytes at a time.
#include "tern/convert/random_weights.h"

#include <array>
#include <cmath>
#include <cstring>

#include "tern/tensor/half.h"

namespace tern::convert {
namespace {

class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t row) : state_(seed * 0x9e3779b97f4a7c15u + row) {
    next();
    state_ ^= row << 32;
  }
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  void fill(std::byte* out, std::size_t n) noexcept {
    for (; n >= 8; n -= 8, out += 8) {
      const std::uint64_t bits = next();
      std::memcpy(out, &bits, 8);
    }
    const std::uint64_t bits = next();
    std::memcpy(out, &bits, n);
  }

 private:
  std::uint64_t state_;
};

constexpr std::size_t kDigits = 5;  // In a byte below 3^5.

constexpr auto kTable = [] {
  std::array<std::array<std::int8_t, 8>, 243> table{};
  for (std::size_t byte = 0; byte < table.size(); ++byte) {
    std::size_t rest = byte;
    for (std::size_t i = 0; i < kDigits; ++i, rest /= 3) {
      table[byte][i] = static_cast<std::int8_t>(static_cast<int>(rest % 3) - 1);
    }
  }
  return table;
}();

// `digits` has room for 8 more than the n that are asked for.
void random_digits(Random& random, std::int8_t* digits, std::size_t n) noexcept {
  for (std::size_t done = 0; done < n;) {
    std::uint64_t bits = random.next();
    for (int i = 0; i < 8 && done < n; ++i, bits >>= 8) {
      const std::size_t byte = bits & 0xff;
      if (byte >= kTable.size()) continue;
      std::memcpy(digits + done, kTable[byte].data(), 8);
      done += kDigits;
    }
  }
}

void put_f16(std::byte* out, float value) noexcept {
  const std::uint16_t bits = float_to_f16(value);
  std::memcpy(out, &bits, sizeof bits);
}

// The standard deviation of a whole number drawn evenly from 2^bits neighbours.
float spread(int bits) noexcept { return std::ldexp(1.0f, bits) / std::sqrt(12.0f); }

void random_floats(Random& random, DType type, std::size_t cols, float sigma, std::byte* out) {
  const float step = sigma * std::sqrt(12.0f) * 0x1p-32f;
  for (std::size_t c = 0; c < cols; c += 2) {
    const std::uint64_t bits = random.next();
    for (std::size_t k = 0; k < 2 && c + k < cols; ++k) {
      const auto drawn = static_cast<std::int32_t>(bits >> (32 * k));
      const float value = static_cast<float>(drawn) * step;
      if (type == DType::kF32) {
        std::memcpy(out + 4 * (c + k), &value, 4);
        continue;
      }
      const std::uint16_t half = type == DType::kF16 ? float_to_f16(value) : float_to_bf16(value);
      std::memcpy(out + 2 * (c + k), &half, 2);
    }
  }
}

// One row of blocks: all bytes random, then the scales put in.
void random_blocks(Random& random, DType type, std::size_t row_bytes, float sigma, std::byte* out) {
  random.fill(out, row_bytes);
  const auto block = static_cast<std::size_t>(*dtype_bytes(type, 1, dtype_block(type)));
  for (std::byte* at = out; at < out + row_bytes; at += block) {
    if (type == DType::kQ8_0) put_f16(at, sigma / spread(8));
    if (type == DType::kQ4_0) put_f16(at, sigma / spread(4));
    if (type == DType::kQ6_K) {
      std::byte* scales = at + 128 + 64;
      for (std::size_t i = 0; i < 16; ++i) {  // 48 .. 79, of both signs.
        const auto drawn = std::to_integer<int>(scales[i]);
        const int scale = 48 + (drawn & 31);
        scales[i] = static_cast<std::byte>((drawn & 128) != 0 ? -scale : scale);
      }
      put_f16(scales + 16, sigma / (spread(6) * 64));
    }
  }
}

}  // namespace

TernaryMatrix random_ternary(std::size_t rows, std::size_t cols, float scale, std::uint64_t seed,
                             ThreadPool& pool) {
  TernaryMatrix matrix(rows, cols, ScaleKind::kTensor, 0, {scale});
  pool.parallel_for(rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int8_t> digits(cols + 8);
    for (std::size_t r = begin; r < end; ++r) {
      Random random(seed, r);
      random_digits(random, digits.data(), cols);
      matrix.set_row(r, std::span(digits).first(cols));
    }
  });
  return matrix;
}

std::vector<std::byte> random_dense(DType type, std::size_t rows, std::size_t cols, float sigma,
                                    std::uint64_t seed, ThreadPool& pool) {
  const auto row_bytes = static_cast<std::size_t>(dtype_bytes(type, 1, cols).value_or(0));
  std::vector<std::byte> out(rows * row_bytes);
  pool.parallel_for(rows, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      Random random(seed, r);
      std::byte* row = out.data() + r * row_bytes;
      if (dtype_block(type) == 1) {
        random_floats(random, type, cols, sigma, row);
      } else {
        random_blocks(random, type, row_bytes, sigma, row);
      }
    }
  });
  return out;
}

std::vector<float> random_norm(std::size_t n, std::uint64_t seed) {
  Random random(seed, 0);
  std::vector<float> values(n);
  for (float& v : values) {
    v = 1 + (static_cast<float>(random.next() % 17) - 8) / 64;  // 0.875 .. 1.125
  }
  return values;
}

}  // namespace tern::convert
