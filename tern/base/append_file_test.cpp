// Logs that go on ending with a whole piece.
#include "tern/base/append_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

class AppendFileTest : public testing::Test {
 protected:
  AppendFileTest()
      : path_(fs::temp_directory_path() / ("tern-append-" + std::to_string(random_seed()))) {}
  ~AppendFileTest() override { fs::remove_all(path_); }
  fs::path path_;
};

TEST_F(AppendFileTest, GrowsAcrossOpenings) {
  {
    AppendFile file(path_);
    file.append("one\n");
    file.append("");
    EXPECT_EQ(read_text_file(path_), "one\n");  // At once, not when it is closed.
  }
  AppendFile file(path_);
  file.append("two\n");
  file.sync();
  EXPECT_EQ(read_text_file(path_), "one\ntwo\n");
}

TEST_F(AppendFileTest, IsCutDownOnOpening) {
  AppendFile(path_).append("one\ntwo\nthr");
  AppendFile(path_, 8).append("2\n");
  EXPECT_EQ(read_text_file(path_), "one\ntwo\n2\n");
  AppendFile(path_, 10);
  EXPECT_EQ(read_text_file(path_), "one\ntwo\n2\n");
  try {
    AppendFile(path_, 11);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()), path_.string() + ": 10 bytes found, expected at least 11");
  }
  EXPECT_EQ(read_text_file(path_), "one\ntwo\n2\n");
}

TEST_F(AppendFileTest, ErrorsHaveTheSystemsReason) {
  fs::create_directory(path_);
  try {
    AppendFile file(path_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
    EXPECT_EQ(std::string(e.what()), path_.string() + ": cannot write: Is a directory");
  }
  EXPECT_THROW(AppendFile(path_ / "none" / "a"), Error);
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  AppendFile full("/dev/full");
  try {
    full.append("x");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "/dev/full: cannot write: No space left on device");
  }
}

// A limit on the size of files stands for a disk that becomes full inside a line.
TEST_F(AppendFileTest, HalfALineIsTakenBack) {
  AppendFile file(path_);
  file.append(std::string(80, 'a'));
  struct rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(file.append(std::string(80, 'b')), Error);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text_file(path_), std::string(80, 'a'));
  file.append("c");
  EXPECT_EQ(read_text_file(path_), std::string(80, 'a') + "c");
}

}  // namespace
}  // namespace tern
