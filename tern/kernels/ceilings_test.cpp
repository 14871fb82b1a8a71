// The loops behind machine_ceilings.h read all they are told to, and the figures are plausible.
#include <gtest/gtest.h>

#include "tern/kernels/machine_ceilings.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

class CeilingTables : public TableTest {};

TEST_P(CeilingTables, ReadsEveryByte) {
  Exact<std::uint8_t> bytes(1024);
  for (const std::size_t streams : {1u, 2u, 4u}) {
    for (const std::size_t ahead : {0u, 4096u}) {
      const auto read = [&] {
        return k().read_xor(bytes.data(), bytes.size() / streams, streams, ahead);
      };
      const std::uint64_t none = read();
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = 1;
        ASSERT_NE(read(), none) << i << " of " << streams << " streams";
        bytes[i] = 0;
      }
    }
  }
}

TEST_P(CeilingTables, FiguresArePlausible) {
  for (const std::size_t threads : {1u, 2u}) {
    ThreadPool pool(threads);
    CeilingProbe probe(k(), pool, std::size_t{1} << 20);
    const Ceilings found = probe.measure();
    EXPECT_GT(found.read, 1e6);
    EXPECT_LT(found.read, 1e14);
    EXPECT_GT(found.int8_macs, 1e6);
    EXPECT_LT(found.int8_macs, 1e14);
    EXPECT_EQ(found.barrier > 0, threads > 1);
    EXPECT_EQ(found.pool_run > 0, threads > 1);
    EXPECT_LT(found.barrier, 0.1);
  }
}

TEST(Ceilings, MeanIsOfEachFigure) {
  const Ceilings m = mean(Ceilings{1, 10, 4, 6}, Ceilings{3, 30, 8, 8});
  EXPECT_EQ(m.read, 2);
  EXPECT_EQ(m.int8_macs, 20);
  EXPECT_EQ(m.barrier, 6);
  EXPECT_EQ(m.pool_run, 7);
}

INSTANTIATE_TEST_SUITE_P(All, CeilingTables, testing::ValuesIn(tables_under_test()), table_label);

}  // namespace
}  // namespace tern::kernels
