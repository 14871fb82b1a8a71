// What the tests of kernels share: every table against scalar, buffers of the exact size, bits.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tern/kernels/dispatch.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {

// For `for (const std::size_t n : Sizes{1, 2})`.
using Sizes = std::initializer_list<std::size_t>;

#if defined(__x86_64__)
extern const KernelTable kAvxVnniOnAvx512;  // avxvnni.cpp built for machines without AVX-VNNI.
#endif

// Found by gtest, so that a failure says `avx2` and not an address.
inline void PrintTo(const KernelTable* table, std::ostream* os) { *os << table->name; }

inline std::vector<const KernelTable*> tables_under_test() {
  std::vector<const KernelTable*> tables(all_tables().begin(), all_tables().end());
#if defined(__x86_64__)
  tables.push_back(&kAvxVnniOnAvx512);
#endif
  return tables;
}

inline std::string table_label(const testing::TestParamInfo<const KernelTable*>& info) {
  return info.param->name;
}

// TERN_REQUIRE_ISA is a comma list of tables that this machine must be able to run.
inline bool is_required(const std::string& name) {
  const char* list = std::getenv("TERN_REQUIRE_ISA");
  return list != nullptr &&
         ("," + std::string(list) + ",").find("," + name + ",") != std::string::npos;
}

// A table that this CPU lacks is reported as skipped, never as passed.
class TableTest : public testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    if (k().supported()) return;
    if (is_required(k().name)) FAIL() << "TERN_REQUIRE_ISA names " << k().name;
    GTEST_SKIP() << "this CPU lacks " << k().name;
  }
  static const KernelTable& k() { return *GetParam(); }
};

// Memory of exactly n elements on the heap, so that ASan sees a read of one byte too many.
template <typename T>
class Exact {
 public:
  explicit Exact(std::size_t n, T value = {}) : data_(new T[n]), size_(n) {
    std::fill_n(data_.get(), n, value);
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  std::span<const T> span() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<T[]> data_;
  std::size_t size_;
};

// Numbers from integer arithmetic only, the same on every machine: 24 bits, sign, small exponents.
inline float small_float(std::mt19937& rng) {
  const auto mantissa = static_cast<float>(static_cast<std::int32_t>(rng() & 0xffffff) - 0x800000);
  const int exponent = static_cast<int>(rng() % 12) - 8;
  return mantissa * 0x1p-23f *
         (exponent < 0 ? 1.0f / static_cast<float>(1 << -exponent)
                       : static_cast<float>(1 << exponent));
}

inline Exact<float> random_floats(std::size_t n, std::mt19937& rng) {
  Exact<float> v(n);
  for (float& x : v) x = small_float(rng);
  return v;
}

inline Exact<std::int8_t> random_int8(std::size_t n, std::mt19937& rng) {
  Exact<std::int8_t> v(n);
  for (std::int8_t& x : v) x = static_cast<std::int8_t>(rng() & 0xff);
  return v;
}

// Bytes of four ternary codes each.
inline Exact<std::uint8_t> random_codes(std::size_t n, std::mt19937& rng) {
  Exact<std::uint8_t> v(n);
  for (std::uint8_t& b : v) {
    for (int shift = 0; shift < 8; shift += 2) {
      b = static_cast<std::uint8_t>(b | ((rng() % 3) << shift));
    }
  }
  return v;
}

inline void expect_same_bits(std::span<const float> got, std::span<const float> want,
                             const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i]))
        << what << ", element " << i << ": " << got[i] << " and " << want[i];
  }
}

}  // namespace tern::kernels
