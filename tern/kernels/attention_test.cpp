// Attention: every table against scalar bit by bit, scalar against its definition in double, and
// the same bits however a text is cut.
#include "tern/kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tern/kernels/table_test.h"
#include "tern/tensor/half.h"

namespace tern::kernels {
namespace {

constexpr KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kInt8, KvType::kInt4};

// What attention.h says that comes out of the storage, found without the code that stores.
std::vector<float> as_stored(KvType type, std::span<const float> x) {
  std::vector<float> out(x.begin(), x.end());
  if (type == KvType::kF32) return out;
  if (type == KvType::kF16) {
    for (float& v : out) v = f16_to_float(float_to_f16(std::min(std::max(v, -65504.0f), 65504.0f)));
    return out;
  }
  const float most = type == KvType::kInt8 ? 127 : 7;
  float size = 0;
  for (const float v : x) size = std::max(size, std::fabs(v));
  // The smallest f16 that is not below: all of them are tried.
  float scale = 65504.0f;
  for (std::uint16_t half = 0; half < 0x7c00; ++half) {
    if (f16_to_float(half) >= size / most) {
      scale = f16_to_float(half);
      break;
    }
  }
  for (float& v : out) {
    const float code = scale == 0 ? 0 : std::nearbyint(v * (1.0f / scale));
    v = std::min(std::max(code, -most), most) * scale;
  }
  return out;
}

// Keys and values of one head in blocks of exactly the size that is asked for, full of NaN where
// nothing was stored.
struct Cache {
  AttentionShape shape;
  std::vector<Exact<std::byte>> memory;
  std::vector<KvBlockView> blocks;
  std::vector<float> keys, values;  // As given, position-major.

  Cache(const KernelTable& k, const AttentionShape& s, std::size_t count, std::mt19937& rng)
      : shape(s) {
    for (std::size_t p = 0; p < count; ++p) {
      if (p % kKvBlock == 0) {
        memory.emplace_back(kv_key_bytes(s.k_type, s.head_dim), std::byte{0xff});
        memory.emplace_back(kv_value_bytes(s.v_type, s.head_dim), std::byte{0xff});
        blocks.push_back({memory[memory.size() - 2].data(), memory.back().data()});
      }
      const Exact<float> key = random_floats(s.head_dim, rng);
      const Exact<float> value = random_floats(s.head_dim, rng);
      kv_store_key(k, s.k_type, key.data(), s.head_dim, memory[memory.size() - 2].data(),
                   p % kKvBlock);
      kv_store_value(k, s.v_type, value.data(), s.head_dim, memory.back().data(), p % kKvBlock);
      keys.insert(keys.end(), key.data(), key.data() + s.head_dim);
      values.insert(values.end(), value.data(), value.data() + s.head_dim);
    }
  }
};

AttentionShape shape_of(std::size_t head_dim, KvType k_type, KvType v_type) {
  return {head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)), k_type, v_type};
}

// Queries of the last `tokens` positions; out has `group` heads per token.
struct Queries {
  std::size_t group, head_dim, first, tokens;
  Exact<float> q;
  Queries(std::size_t heads, std::size_t dim, std::size_t count, std::size_t n, std::mt19937& rng)
      : group(heads),
        head_dim(dim),
        first(count - n),
        tokens(n),
        q(random_floats(n * heads * dim, rng)) {}

  // In tiles of at most `most` tokens, which end where blocks do.
  std::vector<QueryTile> tiles(std::size_t most, float* out) const {
    std::vector<QueryTile> all;
    for (std::size_t t = 0; t < tokens;) {
      const std::size_t position = first + t;
      QueryTile tile;
      tile.stride = group * head_dim;
      tile.q = q.data() + t * tile.stride;
      tile.out = out + t * tile.stride;
      tile.tokens = std::min({most, tokens - t, kKvBlock - position % kKvBlock});
      tile.group = group;
      tile.position = position;
      all.push_back(tile);
      t += tile.tokens;
    }
    return all;
  }

  Exact<float> run(const KernelTable& k, const Cache& cache, std::size_t most) const {
    Exact<float> out(q.size(), std::numeric_limits<float>::quiet_NaN());
    AttentionScratch scratch(most * group, head_dim);
    for (const QueryTile& tile : tiles(most, out.data())) {
      attention(k, cache.shape, tile, cache.blocks, scratch);
    }
    return out;
  }
};

class AttentionTables : public TableTest {};

TEST_P(AttentionTables, EqualsScalar) {
  std::mt19937 rng(20260401);
  for (const std::size_t head_dim : Sizes{1, 8, 32, 48, 64, 80, 96, 100, 128, 256}) {
    for (std::size_t i = 0; i < 16; ++i) {
      const AttentionShape shape = shape_of(head_dim, kTypes[i % 4], kTypes[i / 4]);
      for (const std::size_t count : Sizes{1, 2, 15, 16, 17, 33, 63, 64, 65, 130}) {
        const Cache cache(kScalar, shape, count, rng);
        const std::size_t group = 1 + (count + i) % 4;
        const Queries queries(group, head_dim, count, std::min<std::size_t>(count, 5), rng);
        const Exact<float> got = queries.run(k(), cache, 5);
        expect_same_bits(got.span(), queries.run(kScalar, cache, 5).span(),
                         "head_dim " + std::to_string(head_dim) + ", count " +
                             std::to_string(count) + ", types " + std::to_string(i));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(AttentionTables, EveryNumberOfRowsAndPositionsEqualsScalar) {
  std::mt19937 rng(20260402);
  const std::size_t head_dim = 64;
  for (std::size_t i = 0; i < 4; ++i) {
    const Cache cache(kScalar, shape_of(head_dim, kTypes[i], kTypes[(i + 1) % 4]), 530, rng);
    for (std::size_t rows = 1; rows <= 13; ++rows) {
      const std::size_t count = rows * 10;
      const Queries queries(rows, head_dim, count, 1, rng);
      expect_same_bits(queries.run(k(), cache, 1).span(), queries.run(kScalar, cache, 1).span(),
                       std::to_string(rows) + " rows");
    }
    for (std::size_t count = 1; count <= 530; count = count == 130 ? 500 : count + 1) {
      const Queries queries(2, head_dim, count, 1, rng);
      expect_same_bits(queries.run(k(), cache, 1).span(), queries.run(kScalar, cache, 1).span(),
                       std::to_string(count) + " positions");
      if (HasFatalFailure()) return;
    }
  }
}

// A prompt at once, token by token, in tiles of any size, and in spans by other hands.
TEST_P(AttentionTables, SameBitsHoweverItIsCut) {
  std::mt19937 rng(20260403);
  const std::size_t head_dim = 32, group = 3, count = 1030;
  for (const KvType type : kTypes) {
    const Cache cache(k(), shape_of(head_dim, type, type), count, rng);
    const Queries queries(group, head_dim, count, 75, rng);
    const Exact<float> want = queries.run(k(), cache, 1);
    for (const std::size_t most : Sizes{2, 5, 16, 64}) {
      expect_same_bits(queries.run(k(), cache, most).span(), want.span(),
                       "tiles of " + std::to_string(most));
    }
    Exact<float> out(want.size());
    AttentionScratch scratch(64 * group, head_dim);
    for (const QueryTile& tile : queries.tiles(64, out.data())) {
      const std::size_t floats = attention_state_floats(tile.rows(), head_dim);
      std::vector<Exact<float>> states;
      for (std::size_t span = 0; span < tile.spans(); ++span) states.emplace_back(floats);
      for (std::size_t span = tile.spans(); span-- > 0;) {
        const std::size_t first = span * 8;
        const std::size_t n = std::min<std::size_t>(8, tile.blocks() - first);
        attention_span(k(), cache.shape, tile, span, std::span(cache.blocks).subspan(first, n),
                       scratch, states[span].data());
      }
      for (std::size_t span = 1; span < tile.spans(); ++span) {
        attention_fold(k(), head_dim, tile.rows(), states[0].data(), states[span].data());
      }
      attention_finish(k(), cache.shape, tile, states[0].data());
    }
    expect_same_bits(out.span(), want.span(), "spans");
  }
}

TEST_P(AttentionTables, IsSoftmaxInDouble) {
  std::mt19937 rng(20260404);
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t head_dim = 80, count = 1 + i * 47, group = 2;
    const Cache cache(k(), shape_of(head_dim, kTypes[i % 4], kTypes[i / 4]), count, rng);
    const Queries queries(group, head_dim, count, 1, rng);
    const Exact<float> got = queries.run(k(), cache, 1);
    std::vector<float> keys, values;
    for (std::size_t j = 0; j < count; ++j) {
      const auto key =
          as_stored(kTypes[i % 4], std::span(cache.keys).subspan(j * head_dim, head_dim));
      const auto value =
          as_stored(kTypes[i / 4], std::span(cache.values).subspan(j * head_dim, head_dim));
      keys.insert(keys.end(), key.begin(), key.end());
      values.insert(values.end(), value.begin(), value.end());
    }
    for (std::size_t g = 0; g < group; ++g) {
      std::vector<double> p(count);
      double max = -1e300, sum = 0;
      for (std::size_t j = 0; j < count; ++j) {
        for (std::size_t d = 0; d < head_dim; ++d) {
          p[j] += static_cast<double>(queries.q[g * head_dim + d]) *
                  static_cast<double>(keys[j * head_dim + d]);
        }
        p[j] *= static_cast<double>(cache.shape.scale);
        max = std::max(max, p[j]);
      }
      for (double& v : p) sum += v = std::exp(v - max);
      for (std::size_t d = 0; d < head_dim; ++d) {
        double out = 0, size = 0;
        for (std::size_t j = 0; j < count; ++j) {
          const auto v = static_cast<double>(values[j * head_dim + d]);
          out += p[j] / sum * v;
          size += p[j] / sum * std::fabs(v);
        }
        ASSERT_NEAR(static_cast<double>(got[g * head_dim + d]), out, size * 1e-4 + 1e-6)
            << "types " << i << ", dimension " << d;
      }
    }
  }
}

// A score is off by at most scale * (sum of |q_d|) * (half a step of the keys), and a weighted mean
// of values by half a step of theirs, steps being scales. With e the largest error of a score, a
// weight is off by a factor of at most exp(2 e).
TEST_P(AttentionTables, IntegersAreWithinHalfAStep) {
  std::mt19937 rng(20260405);
  const std::size_t head_dim = 64, count = 200;
  for (const KvType type : {KvType::kInt8, KvType::kInt4}) {
    const double most = type == KvType::kInt8 ? 127 : 7;
    AttentionShape shape = shape_of(head_dim, type, type);
    std::mt19937 again = rng;
    const Cache exact(k(), shape_of(head_dim, KvType::kF32, KvType::kF32), count, again);
    const Cache cache(k(), shape, count, rng);
    Queries queries(1, head_dim, count, 1, rng);
    for (float& v : queries.q) v *= 0.02f;  // Scores of about 1, so that the bound says something.
    double steps_of_keys = 0, steps_of_values = 0, size_of_values = 0, size_of_q = 0;
    for (std::size_t j = 0; j < count; ++j) {
      double key = 0, value = 0;
      for (std::size_t d = 0; d < head_dim; ++d) {
        key = std::max(key, std::fabs(static_cast<double>(exact.keys[j * head_dim + d])));
        value = std::max(value, std::fabs(static_cast<double>(exact.values[j * head_dim + d])));
      }
      steps_of_keys = std::max(steps_of_keys, key / most * 1.001);  // Scales are rounded up.
      steps_of_values = std::max(steps_of_values, value / most * 1.001);
      size_of_values = std::max(size_of_values, value);
    }
    for (const float v : queries.q) size_of_q += std::fabs(static_cast<double>(v));
    const double e = static_cast<double>(shape.scale) * size_of_q * steps_of_keys / 2;
    const double bound = steps_of_values / 2 + (std::exp(2 * e) - 1) * size_of_values + 1e-4;
    const Exact<float> want = queries.run(k(), exact, 1), got = queries.run(k(), cache, 1);
    double worst = 0;
    for (std::size_t d = 0; d < head_dim; ++d) {
      worst = std::max(worst, std::fabs(static_cast<double>(want[d] - got[d])));
    }
    EXPECT_LE(worst, bound);
    EXPECT_GT(worst, 0);
  }
}

// Extremes: scores that leave one position alone, zeros, numbers that f16 cannot hold.
TEST_P(AttentionTables, ExtremesEqualScalarAndAreFinite) {
  const std::size_t head_dim = 32, count = 70;
  for (std::size_t i = 0; i < 16; ++i) {
    const AttentionShape shape = shape_of(head_dim, kTypes[i % 4], kTypes[i / 4]);
    for (const float size : {0.0f, 1e-9f, 300.0f, 1e6f}) {
      std::mt19937 rng(20260406);
      Cache cache(k(), shape, count, rng);
      for (std::size_t p = 0; p < count; ++p) {
        Exact<float> x(head_dim, p % 3 == 0 ? size : -size);
        const std::size_t b = p / kKvBlock, slot = p % kKvBlock;
        kv_store_key(k(), shape.k_type, x.data(), head_dim, cache.memory[2 * b].data(), slot);
        kv_store_value(k(), shape.v_type, x.data(), head_dim, cache.memory[2 * b + 1].data(), slot);
      }
      const Queries queries(2, head_dim, count, 7, rng);
      const Exact<float> got = queries.run(k(), cache, 64);
      expect_same_bits(got.span(), queries.run(kScalar, cache, 64).span(), "extremes");
      expect_same_bits(got.span(), queries.run(kScalar, cache, 1).span(), "extremes, cut");
      for (const float v : got.span()) ASSERT_TRUE(std::isfinite(v)) << size;
    }
  }
}

TEST_P(AttentionTables, StoresOnePositionAndNoOther) {
  std::mt19937 rng(20260407);
  for (const std::size_t head_dim : Sizes{1, 17, 32, 80, 128}) {
    for (const KvType type : kTypes) {
      const Exact<float> x = random_floats(head_dim, rng);
      for (const std::size_t slot : Sizes{0, 31, 32, 63}) {
        Exact<std::byte> key(kv_key_bytes(type, head_dim), std::byte{0xa5});
        Exact<std::byte> value(kv_value_bytes(type, head_dim), std::byte{0xa5});
        Exact<std::byte> key_want(key.size(), std::byte{0xa5});
        Exact<std::byte> value_want(value.size(), std::byte{0xa5});
        kv_store_key(k(), type, x.data(), head_dim, key.data(), slot);
        kv_store_value(k(), type, x.data(), head_dim, value.data(), slot);
        kv_store_key(kScalar, type, x.data(), head_dim, key_want.data(), slot);
        kv_store_value(kScalar, type, x.data(), head_dim, value_want.data(), slot);
        ASSERT_EQ(std::memcmp(key.data(), key_want.data(), key.size()), 0);
        ASSERT_EQ(std::memcmp(value.data(), value_want.data(), value.size()), 0);
        const auto changed = [](const Exact<std::byte>& bytes) {
          return static_cast<std::size_t>(std::ranges::count_if(
              bytes.span(), [](std::byte b) { return b != std::byte{0xa5}; }));
        };
        const std::size_t most = type == KvType::kF32   ? 4 * head_dim
                                 : type == KvType::kF16 ? 2 * head_dim
                                                        : head_dim + 2;
        EXPECT_LE(changed(key), most);
        EXPECT_LE(changed(value), most);
      }
    }
  }
}

TEST_P(AttentionTables, HalvesAreRoundedToNearestEven) {
  std::vector<float> x;
  for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 65521) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-x.back());
  }
  for (std::uint32_t half = 0; half < 0x7bff; half += 3) {  // Middles between neighbours.
    const float low = f16_to_float(static_cast<std::uint16_t>(half));
    const float high = f16_to_float(static_cast<std::uint16_t>(half + 1));
    x.push_back(low + (high - low) / 2);
  }
  std::vector<std::uint16_t> out(x.size());
  k().to_f16(x.data(), x.size(), reinterpret_cast<std::uint8_t*>(out.data()));
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(out[i], float_to_f16(x[i])) << x[i];
}

TEST_P(AttentionTables, SoftmaxRowsEqualScalar) {
  std::mt19937 rng(20260408);
  for (std::size_t count = 1; count <= kKvBlock; ++count) {
    Exact<float> got = random_floats(2 * kKvBlock, rng), want(got.size());
    got[count / 2] = -300.0f;  // Its weight is 0.
    std::copy(got.begin(), got.end(), want.begin());
    Exact<std::uint8_t> scales(2 * kKvBlock, 0x2e);
    const std::size_t counts[] = {count, kKvBlock};
    float stats[4], want_stats[4];
    k().softmax_rows(got.data(), 2, counts, 1.3f, scales.data(), nullptr, stats, stats + 2);
    kScalar.softmax_rows(want.data(), 2, counts, 1.3f, scales.data(), nullptr, want_stats,
                         want_stats + 2);
    expect_same_bits(got.span(), want.span(), "softmax");
    expect_same_bits(stats, want_stats, "max and sum");
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTables, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
