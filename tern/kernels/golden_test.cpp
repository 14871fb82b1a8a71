// One hash of each float function's bits over inputs made from integers only: the same constants
// hold for every table on every processor family. A change of a constant is a change of every text.
#include <gtest/gtest.h>

#include "tern/kernels/attention.h"
#include "tern/kernels/dense.h"
#include "tern/kernels/elementwise.h"
#include "tern/kernels/quantize.h"
#include "tern/kernels/rope.h"
#include "tern/kernels/table_test.h"
#include "tern/kernels/ternary.h"

namespace tern::kernels {
namespace {

std::string hash_of(std::span<const float> values) {  // FNV-1a over 32-bit words.
  std::uint64_t hash = 14695981039346656037ULL;
  for (const float v : values) hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 1099511628211ULL;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

class Golden : public TableTest {
 protected:
  std::mt19937 rng_{20260316};
  ThreadPool pool_{2};
};

TEST_P(Golden, DotAndRmsnorm) {
  const std::size_t n = 1003;
  const Exact<float> a = random_floats(n, rng_), b = random_floats(n, rng_);
  std::vector<float> out(n);
  rmsnorm(k(), a.data(), b.data(), n, 1e-5f, out.data());
  out.push_back(dot(k(), a.data(), b.data(), n));
  EXPECT_EQ(hash_of(out), "fd773d8ab9f73626");
}

TEST_P(Golden, Gates) {
  const std::size_t n = 1003;
  const Exact<float> gate = random_floats(n, rng_), up = random_floats(n, rng_);
  std::vector<float> silu(gate.data(), gate.data() + n), relu2 = silu, exp(n);
  silu_mul(k(), silu.data(), up.data(), n, pool_);
  relu2_mul(k(), relu2.data(), up.data(), n, pool_);
  k().exp(gate.data(), n, exp.data());
  EXPECT_EQ(hash_of(silu), "672458e74ff1866d");
  EXPECT_EQ(hash_of(relu2), "f701d1f1aad90b39");
  EXPECT_EQ(hash_of(exp), "c6ee1a5f4be268d7");
}

TEST_P(Golden, Rope) {
  std::vector<double> frequencies;
  for (int i = 0; i < 40; ++i) frequencies.push_back(1.0 / static_cast<double>(1 << (i / 2)) / 3);
  const RopeTable table(3000, frequencies);
  Exact<float> x = random_floats(3 * 80, rng_);
  rope(k(), x.data(), 3, 80, table.cos(2999), table.sin(2999));
  EXPECT_EQ(hash_of(x.span()), "6c36ec10ee8e0445");
}

TEST_P(Golden, Attention) {
  const std::size_t head_dim = 80, count = 600, group = 2;
  std::vector<float> out;
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8, KvType::kInt4}) {
    std::vector<Exact<std::byte>> memory;
    std::vector<KvBlockView> blocks;
    for (std::size_t p = 0; p < count; ++p) {
      if (p % kKvBlock == 0) {
        memory.emplace_back(kv_key_bytes(type, head_dim));
        memory.emplace_back(kv_value_bytes(type, head_dim));
        blocks.push_back({memory[memory.size() - 2].data(), memory.back().data()});
      }
      const Exact<float> key = random_floats(head_dim, rng_), value = random_floats(head_dim, rng_);
      kv_store_key(k(), type, key.data(), head_dim, memory[memory.size() - 2].data(), p % kKvBlock);
      kv_store_value(k(), type, value.data(), head_dim, memory.back().data(), p % kKvBlock);
    }
    const Exact<float> q = random_floats(group * head_dim, rng_);
    Exact<float> y(q.size());
    QueryTile tile;
    tile.q = q.data();
    tile.out = y.data();
    tile.stride = q.size();
    tile.tokens = 1;
    tile.group = group;
    tile.position = count - 1;
    AttentionScratch scratch(group, head_dim);
    attention(k(), {head_dim, 0.11f, type, type}, tile, blocks, scratch);
    out.insert(out.end(), y.begin(), y.end());
  }
  EXPECT_EQ(hash_of(out), "2cc15c0972fe11e6");
}

TEST_P(Golden, TernaryProducts) {
  const std::size_t rows = 13, cols = 700, tokens = 4;
  std::vector<float> out;
  for (const std::size_t group : Sizes{0, 128}) {
    const std::size_t scales = group == 0 ? rows : rows * 6;
    std::vector<float> scale(scales);
    for (float& s : scale) s = small_float(rng_);
    TernaryMatrix w(rows, cols, group == 0 ? ScaleKind::kRow : ScaleKind::kGroup, group, scale);
    std::vector<std::int8_t> digits(cols);
    for (std::size_t r = 0; r < rows; ++r) {
      for (auto& d : digits) d = static_cast<std::int8_t>(static_cast<int>(rng_() % 3) - 1);
      w.set_row(r, digits);
    }
    const Exact<float> x = random_floats(tokens * cols, rng_);
    for (const std::size_t x_group : {std::size_t{0}, group}) {
      Int8Rows q;
      q.resize(tokens, cols, x_group);
      quantize_rows(k(), x.data(), cols, q, pool_);
      std::vector<float> y(tokens * rows);
      ternary_matmul(k(), w, q, y.data(), rows, pool_);
      out.insert(out.end(), y.begin(), y.end());
    }
    std::vector<float> y(tokens * rows);
    ternary_matmul_float(k(), w, x.data(), cols, tokens, y.data(), rows, pool_);
    out.insert(out.end(), y.begin(), y.end());
  }
  EXPECT_EQ(hash_of(out), "32dc088bde569cfa");
}

TEST_P(Golden, DenseProducts) {
  const std::size_t rows = 9, cols = 512;
  std::vector<float> out;
  for (const DType type : {DType::kQ8_0, DType::kQ6_K, DType::kQ4_0, DType::kF16}) {
    std::vector<std::uint8_t> bytes(*dtype_bytes(type, rows, cols));
    for (auto& b : bytes) b = static_cast<std::uint8_t>(rng_() & 0x3f);  // Finite as f16.
    DenseMatrix w;
    w.type = type;
    w.rows = rows;
    w.cols = cols;
    w.bytes = std::as_bytes(std::span(bytes));
    const Exact<float> x = random_floats(4 * cols, rng_);
    std::vector<float> y(4 * rows);
    dense_matmul(k(), w, x.data(), cols, 4, y.data(), rows, pool_);
    out.insert(out.end(), y.begin(), y.end());
  }
  EXPECT_EQ(hash_of(out), "d8102a41f08df3eb");
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
