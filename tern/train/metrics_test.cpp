// metrics.jsonl and event files: what a killed run leaves, a full disk, published checksums.
#include "tern/train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;

class RunFolder : public testing::Test {
 protected:
  RunFolder() : folder_(fs::temp_directory_path() / ("tern-run-" + std::to_string(random_seed()))) {
    fs::create_directory(folder_);
  }
  ~RunFolder() override { fs::remove_all(folder_); }
  fs::path log() const { return folder_ / "metrics.jsonl"; }
  fs::path folder_;
};

Json step_line(std::uint64_t step, double loss) {
  return {{"kind", "step"}, {"step", step}, {"loss", loss}, {"skipped", false}};
}

TEST_F(RunFolder, LinesReadBackExactlyKindFirst) {
  {
    MetricsLog log(this->log(), 0);
    log.append(step_line(1, 0.1));
    log.append(step_line(2, 2.0 / 3));
    log.append(step_line(3, std::nan("")));
    log.append({{"kind", "sample"}, {"step", 3}, {"text", "\xff \"a\"\n\xe3\x81\x82"}});
  }
  EXPECT_EQ(
      read_text_file(log()),
      "{\"kind\":\"step\",\"loss\":0.1,\"skipped\":false,\"step\":1}\n"
      "{\"kind\":\"step\",\"loss\":0.6666666666666666,\"skipped\":false,\"step\":2}\n"
      "{\"kind\":\"step\",\"loss\":null,\"skipped\":false,\"step\":3}\n"
      "{\"kind\":\"sample\",\"step\":3,\"text\":\"\xef\xbf\xbd \\\"a\\\"\\n\xe3\x81\x82\"}\n");
}

TEST_F(RunFolder, AResumedLogIsThatOfARunThatWasNeverStopped) {
  const auto write = [&](std::uint64_t from, std::uint64_t to) {
    MetricsLog log(this->log(), from);
    for (std::uint64_t step = from + 1; step <= to; ++step) {
      log.append(step_line(step, 1.0 / static_cast<double>(step)));
      if (step % 5 == 0) log.append({{"kind", "held_out"}, {"step", step}, {"loss", 0.5}});
    }
  };
  write(0, 15);
  const std::string whole = read_text_file(log());
  // Killed at any byte after the checkpoint of step 10.
  for (std::size_t cut = whole.find("{\"kind\":\"step\",\"loss\":0.0909"); cut <= whole.size();
       ++cut) {
    std::ofstream(log(), std::ios::binary) << whole.substr(0, cut);
    write(10, 15);
    ASSERT_EQ(read_text_file(log()), whole) << "cut at byte " << cut;
  }
  write(0, 15);  // From the start.
  EXPECT_EQ(read_text_file(log()), whole);
}

TEST_F(RunFolder, AFileThatIsNoLogIsLeftAlone) {
  const std::string text = "{\"kind\":\"step\",\"step\":1}\nmy diary\n";
  std::ofstream(log()) << text;
  try {
    MetricsLog log(this->log(), 1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptFile);
    EXPECT_NE(std::string(e.what()).find("metrics.jsonl: line 2"), std::string::npos) << e.what();
  }
  EXPECT_EQ(read_text_file(log()), text);
}

TEST_F(RunFolder, AFullDiskIsASentence) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  MetricsLog log("/dev/full", 0);
  try {
    log.append(step_line(1, 1));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
    EXPECT_STREQ(e.what(), "/dev/full: cannot write: No space left on device");
  }
}

// RFC 3720, B.4, and the check value of the CRC catalogue.
TEST(Crc32c, PublishedVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(masked_crc32c(""), 0xa282ead8u);
}

TEST_F(RunFolder, EventFileIsWhereTensorBoardLooks) {
  EventFile file(folder_);
  EXPECT_TRUE(file.path().filename().string().starts_with("events.out.tfevents."));
  EXPECT_EQ(fs::file_size(file.path()), 8u + 4 + 24 + 4);  // The version is there at once.
  file.scalar("loss", 1, 2.5);
  EXPECT_EQ(fs::file_size(file.path()), 8u + 4 + 24 + 4);
  file.flush();
  EXPECT_EQ(fs::file_size(file.path()), 40u + 8 + 4 + 26 + 4);
  EXPECT_THROW(EventFile(folder_ / "none"), Error);
}

// Writes what tests/event_file_test.py reads with a parser of its own, where that asks for it.
TEST(EventFileSample, ForTheIndependentParser) {
  const auto folder = environment("TERN_EVENT_FILE_OUT");
  if (!folder) GTEST_SKIP() << "TERN_EVENT_FILE_OUT is not set";
  EventFile file(*folder, 41);
  file.scalar("training/loss", 42, 2.5);
  file.scalar("held-out/bits per byte", 43, 0.1);
  file.scalar("learning rate", std::uint64_t{1} << 40, -1e-30);
  file.scalar("loss", 44, std::nan(""));
  file.text("samples/0", 45, "Es war einmal\n\xe3\x82\x80\xe3\x81\x8b\xe3\x81\x97 \xff");
  file.flush();
  file.text("empty", 0, "");
  file.text("long", 46, std::string(100000, 'x'));
}

}  // namespace
}  // namespace tern::train
