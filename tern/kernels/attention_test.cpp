// Attention: every table against scalar bit by bit, and against softmax in double.
#include "tern/kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tern/kernels/table_test.h"
#include "tern/tensor/half.h"

namespace tern::kernels {
namespace {

// Keys and values of one head, stored block by block; the last block holds only what is needed.
struct Cache {
  std::vector<Exact<std::byte>> memory;
  std::vector<const std::byte*> blocks;
  std::vector<float> values;  // As they come out of the storage, position-major.

  Cache(const KernelTable& k, KvType type, std::size_t head_dim, std::size_t count,
        std::mt19937& rng) {
    const std::size_t bytes = head_dim * kv_type_bytes(type);
    for (std::size_t p = 0; p < count; ++p) {
      if (p % kKvBlock == 0) {
        memory.emplace_back(std::min(kKvBlock, count - p) * bytes);
        blocks.push_back(memory.back().data());
      }
      const Exact<float> row = random_floats(head_dim, rng);
      kv_store(k, type, row.data(), head_dim, memory.back().data(), p % kKvBlock);
      for (std::size_t d = 0; d < head_dim; ++d) {
        values.push_back(type == KvType::kF32 ? row[d] : f16_to_float(float_to_f16(row[d])));
      }
    }
  }
};

class AttentionTables : public TableTest {};

TEST_P(AttentionTables, EqualsScalarAndDouble) {
  for (const std::size_t head_dim : Sizes{1, 8, 48, 64, 80, 100, 128, 512}) {
    for (const std::size_t count : Sizes{1, 2, 15, 16, 17, 63, 64, 65, 130, 300}) {
      for (const bool half : {false, true}) {
        const KvType k_type = half ? KvType::kF16 : KvType::kF32;
        const KvType v_type = count % 2 == 0 ? k_type : KvType::kF32;
        std::mt19937 rng(static_cast<unsigned>(head_dim * 1000 + count));
        const Exact<float> q = random_floats(head_dim, rng);
        const Cache keys(k(), k_type, head_dim, count, rng);
        const Cache values(k(), v_type, head_dim, count, rng);
        const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
        Exact<float> got(head_dim), want(head_dim);
        attention(k(), q.data(), head_dim, scale, keys.blocks, k_type, values.blocks, v_type, count,
                  got.data());
        attention(kScalar, q.data(), head_dim, scale, keys.blocks, k_type, values.blocks, v_type,
                  count, want.data());
        expect_same_bits(got.span(), want.span(), "attention");

        std::vector<double> p(count);
        double max = -1e300, sum = 0;
        for (std::size_t i = 0; i < count; ++i) {
          for (std::size_t d = 0; d < head_dim; ++d) {
            p[i] += static_cast<double>(q[d]) * static_cast<double>(keys.values[i * head_dim + d]);
          }
          p[i] *= static_cast<double>(scale);
          max = std::max(max, p[i]);
        }
        for (double& v : p) sum += v = std::exp(v - max);
        for (std::size_t d = 0; d < head_dim; ++d) {
          double out = 0, size = 0;
          for (std::size_t i = 0; i < count; ++i) {
            const double v = static_cast<double>(values.values[i * head_dim + d]);
            out += p[i] / sum * v;
            size += p[i] / sum * std::fabs(v);
          }
          ASSERT_NEAR(static_cast<double>(got[d]), out, size * 1e-4 + 1e-6)
              << head_dim << " " << count << " " << d;
        }
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

TEST_P(AttentionTables, SoftmaxBlockEqualsScalar) {
  std::mt19937 rng(20260314);
  for (std::size_t count = 1; count <= 64; ++count) {
    Exact<float> got = random_floats(count, rng), want(count);
    got[count / 2] = -300.0f;  // Its weight is 0.
    std::copy(got.begin(), got.end(), want.begin());
    float got_stats[2], want_stats[2];
    k().softmax_block(got.data(), count, 1.3f, got_stats);
    kScalar.softmax_block(want.data(), count, 1.3f, want_stats);
    expect_same_bits(got.span(), want.span(), "softmax");
    expect_same_bits(got_stats, want_stats, "max and sum");
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTables, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
