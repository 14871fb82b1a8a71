// Which table is chosen, and what is refused.
#include "tern/kernels/dispatch.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

TEST(ChooseTable, RefusesAnUnknownNameAndNamesTheChoices) {
  try {
    choose_table("avx3");
    FAIL() << "avx3 was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("avx3"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("scalar"), std::string::npos);
  }
}

TEST(ChooseTable, GivesTheFastestUsableOrTheOneAsked) {
  EXPECT_EQ(table_name(choose_table("scalar")), "scalar");
  EXPECT_TRUE(table_supported(choose_table("")));
  for (const KernelTable* table : all_tables()) {
    if (!table->supported()) {
      EXPECT_THROW(choose_table(table->name), Error);
      continue;
    }
    EXPECT_EQ(&choose_table(table->name), table);
  }
  EXPECT_EQ(all_tables().back(), &kScalar);
}

}  // namespace
}  // namespace tern::kernels
