// The history file: what comes back, how many lines, and who may read it.
#include "tern/base/line_history.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

class LineHistoryTest : public testing::Test {
 protected:
  LineHistoryTest()
      : folder_(fs::temp_directory_path() / ("tern-history-" + std::to_string(random_seed()))),
        file_(folder_ / "state" / "history") {}
  ~LineHistoryTest() override { fs::remove_all(folder_); }
  static unsigned mode(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  }

  fs::path folder_, file_;
};

TEST_F(LineHistoryTest, ComesBack) {
  const std::vector<std::string> lines{"one", "two\nlines", "back\\slash\\n", "日本語", "\\"};
  {
    LineHistory history(file_);
    EXPECT_TRUE(history.lines().empty());
    for (const std::string& line : lines) history.add(line);
    history.add(lines.back());
    history.add("");
    history.add("  \n ");
    EXPECT_EQ(history.lines(), lines);
  }
  EXPECT_EQ(LineHistory(file_).lines(), lines);
  EXPECT_EQ(mode(file_), 0600u);
  EXPECT_EQ(mode(file_.parent_path()), 0700u);
  LineHistory memory;
  memory.add("x");
  EXPECT_EQ(memory.lines().size(), 1u);
}

TEST_F(LineHistoryTest, KeepsTheNewest) {
  LineHistory history(file_);
  for (int i = 0; i < 1005; ++i) history.add(std::to_string(i));
  EXPECT_EQ(history.lines().size(), LineHistory::kMost);
  const LineHistory again(file_);
  ASSERT_EQ(again.lines().size(), LineHistory::kMost);
  EXPECT_EQ(again.lines().front(), "5");
  EXPECT_EQ(again.lines().back(), "1004");
  EXPECT_EQ(mode(file_), 0600u);
  EXPECT_EQ(std::distance(fs::directory_iterator(file_.parent_path()), fs::directory_iterator()),
            1);
}

TEST_F(LineHistoryTest, ProgramsShareIt) {
  LineHistory first(file_), second(file_);
  first.add("a");
  second.add("b");
  first.add("c");
  EXPECT_EQ(LineHistory(file_).lines(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(LineHistoryTest, TakesAnyFileAndSaysWhereItCannotWrite) {
  fs::create_directories(file_.parent_path());
  std::ofstream(file_) << "\n\\\n\\x\n\xFF\nlast without an end";
  fs::permissions(file_, fs::perms(0644));
  LineHistory history(file_);
  EXPECT_EQ(history.lines(),
            (std::vector<std::string>{"\\", "x", "\uFFFD", "last without an end"}));
  history.add("more");
  EXPECT_EQ(mode(file_), 0600u);
  EXPECT_THROW(LineHistory{file_.parent_path()}, Error);
  LineHistory inside(file_ / "x");
  EXPECT_THROW(inside.add("y"), Error);
  EXPECT_EQ(inside.lines().size(), 1u);
}

}  // namespace
}  // namespace tern
