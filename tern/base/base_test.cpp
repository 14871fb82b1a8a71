// Files that appear whole or not at all, the thread pool, JSON that refuses, signals and memory.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <numeric>
#include <thread>

#include "tern/base/aligned_buffer.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/file_lock.h"
#include "tern/base/json.h"
#include "tern/base/mapped_file.h"
#include "tern/base/size_text.h"
#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/base/utf8.h"

#if defined(__SANITIZE_ADDRESS__)
#define TERN_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TERN_SANITIZED
#endif
#endif

namespace tern {
namespace {

namespace fs = std::filesystem;

class TemporaryFolder : public testing::Test {
 protected:
  TemporaryFolder()
      : folder_(fs::temp_directory_path() / ("tern-base-" + std::to_string(random_seed()))) {
    fs::create_directory(folder_);
  }
  ~TemporaryFolder() override { fs::remove_all(folder_); }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  fs::path folder_;
};

TEST_F(TemporaryFolder, AtomicFileAppearsOnCommit) {
  {
    AtomicFile file(folder_ / "a");
    file.write("hello");
    EXPECT_EQ(file.size(), 5u);
    EXPECT_FALSE(fs::exists(folder_ / "a"));
    file.commit();
  }
  EXPECT_EQ(read_text_file(folder_ / "a"), "hello");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(TemporaryFolder, AtomicFileWithoutCommitLeavesTheOldOne) {
  {
    AtomicFile file(folder_ / "a");
    file.write("old");
    file.commit();
  }
  {
    AtomicFile file(folder_ / "a");
    file.write("half of the new");
  }
  EXPECT_EQ(read_text_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(TemporaryFolder, AtomicFolderRefusesAFullOneAndLeavesNothing) {
  fs::create_directory(folder_ / "full");
  AtomicFile file(folder_ / "full" / "x");
  file.commit();
  EXPECT_THROW(AtomicFolder(folder_ / "full"), Error);
  {
    AtomicFolder abandoned(folder_ / "new");
  }
  EXPECT_EQ(entries(), 1u);
  AtomicFolder kept(folder_ / "new");
  kept.commit();
  EXPECT_TRUE(fs::is_directory(folder_ / "new"));
}

TEST_F(TemporaryFolder, MappedFileReadsAndRefuses) {
  {
    AtomicFile file(folder_ / "a");
    file.write("bytes");
    file.commit();
    AtomicFile empty(folder_ / "empty");
    empty.commit();
  }
  const MappedFile file(folder_ / "a");
  EXPECT_EQ(std::memcmp(file.bytes().data(), "bytes", 5), 0);
  drop_pages(file.bytes());
  EXPECT_EQ(file.bytes().size(), 5u);
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
  EXPECT_THROW(MappedFile(folder_ / "missing"), Error);
  EXPECT_THROW(MappedFile{folder_}, Error);
}

TEST(FileLock, OneHolderAtATime) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "file_lock_test";
  {
    const FileLock lock(path, "the run");
    try {
      const FileLock second(path, "the run");
      FAIL() << "a second lock was given";
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "the run is in use by another process");
    }
  }
  EXPECT_NO_THROW(FileLock(path, "the run"));
  {
    const auto taken = FileLock::try_take(path);
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(FileLock::try_take(path), nullptr);
  }
  EXPECT_NE(FileLock::try_take(path), nullptr);
  EXPECT_THROW(FileLock::try_take("/nowhere/lock"), Error);
  EXPECT_THROW(FileLock("/nowhere/lock", "x"), Error);
}

TEST(SizeText, PowersOf1024) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(1024), "1.0 KiB");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(std::uint64_t{5} << 30), "5.0 GiB");
  EXPECT_EQ(size_text(std::uint64_t{1} << 63), "8388608.0 TiB");
}

TEST(AlignedBuffer, IsZeroAndAligned) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{5} << 20}) {
    AlignedBuffer buffer(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
    for (const std::byte b : buffer.as<std::byte>()) ASSERT_EQ(b, std::byte{0});
    AlignedBuffer moved = std::move(buffer);
    EXPECT_EQ(moved.size(), size);
  }
}

// Zero, apart from each other, and usable after their neighbours are gone; from many threads.
TEST(AlignedBuffer, SharesPages) {
  ThreadPool pool(3);
  pool.run([](std::size_t worker) {
    std::vector<AlignedBuffer> kept;
    const auto mark = static_cast<std::byte>(worker + 1);
    for (std::size_t i = 0; i < 60; ++i) {
      const std::size_t size = i % 10 == 9 ? std::size_t{40} << 20 : 1 + i * 20011;
      AlignedBuffer buffer(size, Pages::kShared);
      ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
      const std::size_t step = std::max<std::size_t>(1, size / 1000);
      for (std::size_t at = 0; at < size; at += step) ASSERT_EQ(buffer.data()[at], std::byte{0});
      std::memset(buffer.data(), static_cast<int>(mark), std::min<std::size_t>(size, 100));
      buffer.data()[size - 1] = mark;
      if (i % 3 == 0) kept.push_back(std::move(buffer));
    }
    for (const AlignedBuffer& buffer : kept) {
      EXPECT_EQ(buffer.data()[0], mark);
      EXPECT_EQ(buffer.data()[buffer.size() - 1], mark);
    }
  });
}

TEST(ThreadPool, RunsEveryPartOnce) {
  for (const std::size_t threads : {1u, 2u, 3u, 5u}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> seen(103);
      pool.parallel_for(seen.size(), 4, [&](std::size_t begin, std::size_t end) {
        EXPECT_EQ(begin % 4, 0u);
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
      });
      for (const auto& n : seen) ASSERT_EQ(n, 1);
    }
  }
}

TEST(ThreadPool, RethrowsAndGoesOn) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.run([](std::size_t worker) {
    if (worker == 2) throw Error(ErrorCode::kIo, "x");
  }),
               Error);
  std::atomic<int> calls = 0;
  pool.run([&](std::size_t) { ++calls; });
  EXPECT_EQ(calls, 3);
  EXPECT_THROW(ThreadPool(0), Error);
}

TEST(ThreadPool, MoreThreadsThanCpusMakeWay) {
  ThreadPool pool(4 * default_threads() + 1);
  std::atomic<std::size_t> calls = 0;
  const double start = monotonic_seconds();
  for (int round = 0; round < 100; ++round) pool.run([&](std::size_t) { ++calls; });
  EXPECT_EQ(calls, 100 * pool.size());
  EXPECT_LT(monotonic_seconds() - start, 5);
}

// Steps at once, after the workers made way, and after they went to sleep.
TEST(ThreadPool, SeesStepsAfterAnyPause) {
  ThreadPool pool(3);
  std::size_t expected = 0;
  std::atomic<std::size_t> calls = 0;
  for (int round = 0; round < 60; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(round * 10));
    pool.run([&](std::size_t) { ++calls; });
    expected += pool.size();
    ASSERT_EQ(calls, expected);
  }
}

TEST(ThreadPool, IdleWorkersSleep) {
  ThreadPool pool(2);
  pool.run([](std::size_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::clock_t before = std::clock();  // CPU time of all threads.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 20);
}

TEST(System, PeakMemoryStartsAgain) {
  {
    const std::vector<char> much(std::size_t{64} << 20, 1);
  }
  const std::uint64_t high = peak_resident_bytes();
  reset_peak_resident();
  const std::uint64_t low = peak_resident_bytes();
  EXPECT_GT(low, 0u);
  EXPECT_LE(low, high);
#ifndef TERN_SANITIZED
  EXPECT_LT(low, high - (std::size_t{32} << 20));
#endif
}

TEST(Json, RefusesWhatItCannotTrust) {
  EXPECT_EQ(json_uint(parse_json(std::string_view("{\"a\":3}"), "x"), "a", "x"), 3u);
  EXPECT_EQ(json_uint(parse_json(std::string_view("{\"a\":null}"), "x"), "a", "x"), std::nullopt);
  const Json json = parse_json(std::string_view("{\"a\":-1,\"b\":\"t\",\"c\":1e3}"), "x");
  EXPECT_THROW(json_uint(json, "a", "x"), Error);
  EXPECT_THROW(json_number(json, "b", "x"), Error);
  EXPECT_THROW(json_uint(json, "c", "x"), Error);
  EXPECT_THROW(json_uint(Json::array(), "c", "x"), Error);
  for (const char* bad : {"", "{", "{\"a\":1,\"a\":2}", "[1,]", "\"\xff\"", "{} {}"}) {
    EXPECT_THROW(parse_json(std::string_view(bad), "x"), Error) << bad;
  }
  EXPECT_THROW(parse_json(std::string_view(std::string(100000, '[')), "x"), Error);
}

TEST(Json, OrderedObjectsKeepTheirOrderAndRefuseTheSame) {
  const std::string text = R"({"z":1,"a":{"y":[{"b":1,"a":2}],"x":null},"m":"t"})";
  EXPECT_EQ(dump_ordered_json(parse_ordered_json(text, "x")), text);
  for (const char* bad : {"", "{", "{\"a\":1,\"b\":2,\"a\":2}", "[1,]", "\"\xff\"", "{} {}"}) {
    EXPECT_THROW(parse_ordered_json(bad, "x"), Error) << bad;
  }
  EXPECT_THROW(parse_ordered_json(std::string(100000, '['), "x"), Error);
  std::string large = "{";  // Looking each key up among all would take minutes.
  for (int i = 0; i < 200000; ++i) large += "\"" + std::to_string(i) + "\":0,";
  EXPECT_EQ(parse_ordered_json(large + "\"x\":1}", "x").size(), 200001u);
}

TEST(InterruptGuard, FirstSignalIsKeptTheNextInterruptEnds) {
  {
    const InterruptGuard guard(true);
    EXPECT_FALSE(InterruptGuard::pressed());
    std::raise(SIGTERM);
    EXPECT_TRUE(InterruptGuard::pressed());
    std::raise(SIGTERM);  // Asked again: still here.
    EXPECT_TRUE(InterruptGuard::pressed());
  }
  {
    const InterruptGuard guard;
    EXPECT_FALSE(InterruptGuard::pressed());
    std::raise(SIGINT);
    EXPECT_TRUE(InterruptGuard::pressed());
  }
  const auto end_by = [](std::initializer_list<int> signals, bool also_terminate) {
    const InterruptGuard guard(also_terminate);
    for (const int signal : signals) std::raise(signal);
    std::_Exit(0);
  };
  EXPECT_EXIT(end_by({SIGINT, SIGINT}, false), testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(end_by({SIGTERM, SIGINT}, true), testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(end_by({SIGTERM}, false), testing::KilledBySignal(SIGTERM), "");
  EXPECT_EXIT(end_by({SIGINT}, true), testing::ExitedWithCode(0), "");
}

TEST(BecomeProgram, RunsItWithTheWordsOrSaysWhyNot) {
  const std::vector<std::string> words{"-c", "exit \"$1\"", "sh", "7"};
  EXPECT_EXIT(become_program("/bin/sh", words), testing::ExitedWithCode(7), "");
  try {
    become_program("/no/such/program", words);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "/no/such/program: cannot start it: No such file or directory");
  }
}

// Without the call glibc gives a block of this size back to the system at once, and each use of a
// new one faults in its 4096 pages again.
TEST(KeepFreedMemory, ALargeBlockIsReused) {
#if defined(__GLIBC__) && !defined(TERN_SANITIZED)
  const auto faults = [] {
    struct rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  const auto use_block = [] {
    const auto block = std::make_unique<char[]>(16 << 20);  // Zeroed, so that every page is used.
    EXPECT_EQ(block[12345], 0);
  };
  keep_freed_memory();
  use_block();
  const long before = faults();
  for (int i = 0; i < 10; ++i) use_block();
  EXPECT_LT(faults() - before, 1000);
#else
  GTEST_SKIP() << "the allocator is not glibc's own";
#endif
}

TEST(Machine, HasANameAndThisProcessANumber) {
  EXPECT_FALSE(host_name().empty());
  EXPECT_EQ(process_id(), static_cast<std::uint64_t>(getpid()));
}

TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(valid_utf8("abc \xE3\x81\x82"), "abc \xE3\x81\x82");
  // The examples of The Unicode Standard, tables 3-8 to 3-11.
  EXPECT_EQ(valid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(valid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(valid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

}  // namespace
}  // namespace tern
