// The loops behind machine_ceilings.h read all they are told to, and the figures are plausible.
#include <gtest/gtest.h>

#include "tern/kernels/machine_ceilings.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

class CeilingTables : public TableTest {};

TEST_P(CeilingTables, ReadsEveryByte) {
  Exact<std::uint8_t> bytes(1024);
  const std::uint64_t none = k().read_xor(bytes.data(), bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = 1;
    ASSERT_NE(k().read_xor(bytes.data(), bytes.size()), none) << i;
    bytes[i] = 0;
  }
}

TEST_P(CeilingTables, FiguresArePlausible) {
  ThreadPool pool(2);
  const double bandwidth = measure_read_bandwidth(k(), pool, std::size_t{1} << 20);
  EXPECT_GT(bandwidth, 1e6);
  EXPECT_LT(bandwidth, 1e14);
  const double macs = measure_int8_macs(k(), pool);
  EXPECT_GT(macs, 1e6);
  EXPECT_LT(macs, 1e14);
}

INSTANTIATE_TEST_SUITE_P(All, CeilingTables, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
