// What --version says.
#include "tern/base/version.h"

#include <gtest/gtest.h>

#include <regex>

namespace tern {
namespace {

TEST(Version, NamesVersionCommitAndCompiler) {
  const std::regex form(
      R"(tern \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,40}\+?|unknown), (g\+\+|clang\+\+) \d+.*\))");
  EXPECT_TRUE(std::regex_match(version_text(), form)) << version_text();
  EXPECT_NE(version_text().find("tern " + version_number() + " ("), std::string::npos);
}

}  // namespace
}  // namespace tern
