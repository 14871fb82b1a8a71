// Which window takes which example, against the rule done by hand and by the slow way.
#include "tern/corpus/packing.h"

#include <gtest/gtest.h>

#include <random>

#include "tern/corpus/corpus_test_util.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using test::refusal;
using Windows = std::vector<std::uint64_t>;
using Part = Packing::Part;
using Parts = std::vector<Part>;

Windows fit(std::vector<std::uint32_t> sizes, std::uint32_t room) { return first_fit(sizes, room); }

TEST(FirstFit, GoesToTheFirstWindowWithRoom) {
  EXPECT_EQ(fit({}, 8), Windows{});
  EXPECT_EQ(fit({8}, 8), Windows{0});
  EXPECT_EQ(fit({5, 5, 3, 4, 2, 1, 8, 1}, 8), (Windows{0, 1, 0, 2, 1, 1, 3, 2}));
  EXPECT_EQ(fit({1, 1, 1, 1}, 1), (Windows{0, 1, 2, 3}));
  EXPECT_EQ(fit({1, 1, 1, 1}, 4), (Windows{0, 0, 0, 0}));
  EXPECT_EQ(fit({0xFFFFFFFF, 0xFFFFFFFF}, 0xFFFFFFFF), (Windows{0, 1}));
}

TEST(FirstFit, EqualsTheSlowWay) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t room = 1 + static_cast<std::uint32_t>(random() % 40);
    std::vector<std::uint32_t> sizes(random() % 70);
    for (auto& size : sizes) size = 1 + static_cast<std::uint32_t>(random() % room);
    Windows expected;
    std::vector<std::uint32_t> used;
    for (const std::uint32_t size : sizes) {
      std::size_t w = 0;
      while (w < used.size() && used[w] + size > room) ++w;
      if (w == used.size()) used.push_back(0);
      used[w] += size;
      expected.push_back(w);
    }
    EXPECT_EQ(fit(sizes, room), expected);
  }
}

// Examples by their lengths and targets: "..x" is three ids of which the last is one.
class Packed : public test::TemporaryFolder {
 protected:
  Packing pack(const std::vector<std::string>& examples, std::size_t sequence) {
    std::string ids, bits, starts, marks;
    for (const std::string& example : examples) {
      const std::uint64_t begin = marks.size();
      for (int i = 0; i < 8; ++i) starts += static_cast<char>((begin >> (8 * i)) & 0xFF);
      marks += example;
    }
    for (std::size_t i = 0; i < marks.size(); ++i) {
      ids += std::string("\1\0", 2);
      if (i % 8 == 0) bits += '\0';
      if (marks[i] == 'x') bits.back() = static_cast<char>(bits.back() | 1 << (i % 8));
    }
    const auto tokens = marks.size();
    const auto targets = std::count(marks.begin(), marks.end(), 'x');
    const Json none = {{"tokens", 0},   {"documents", 0}, {"text_bytes", 0},
                       {"examples", 0}, {"targets", 0},   {"files", Json::array()}};
    const Json train = {{"tokens", tokens},      {"documents", examples.size()},
                        {"text_bytes", targets}, {"examples", examples.size()},
                        {"targets", targets},    {"files", {tokens}}};
    write("s/train-00000.bin", ids);
    write("s/train-targets.bin", bits);
    write("s/train-examples.bin", starts);
    write("s/index.json", dump_json({{"format", "tern conversation shards"},
                                     {"version", 1},
                                     {"vocabulary", {{"size", 2}}},
                                     {"id_bytes", 2},
                                     {"splits", {{"train", train}, {"held_out", none}}}}));
    return Packing(ConversationShards(folder_ / "s", Split::kTrain), sequence);
  }
  static Parts window(const Packing& packing, std::uint64_t number) {
    const auto parts = packing.window(number);
    return {parts.begin(), parts.end()};
  }
};

TEST_F(Packed, AnExampleTakesAPairForEachOfItsIdsButOne) {
  const Packing packing = pack({"..x", ".x", "...x", ".x.x", ".x"}, 4);
  ASSERT_EQ(packing.windows(), 3u);  // Of 2 + 1 + 1, 3 and 3 pairs.
  EXPECT_EQ(window(packing, 0), (Parts{{0, 2}, {3, 1}, {13, 1}}));
  EXPECT_EQ(window(packing, 1), (Parts{{5, 3}}));
  EXPECT_EQ(window(packing, 2), (Parts{{9, 3}}));
  EXPECT_EQ(packing.pairs(), 10u);
  EXPECT_EQ(packing.cut(), 0u);
}

TEST_F(Packed, LongOnesAreCutToTheirLastTargetThatFits) {
  // Five ids are four pairs, which fit; six are cut; targets at 1 and 5, at 4 and 5, at 5 alone.
  const Packing packing = pack({"....x", ".x...x", "....xx", ".....x"}, 4);
  ASSERT_EQ(packing.windows(), 3u);
  EXPECT_EQ(window(packing, 0), (Parts{{0, 4}}));
  EXPECT_EQ(window(packing, 1), (Parts{{5, 1}}));
  EXPECT_EQ(window(packing, 2), (Parts{{11, 4}}));
  EXPECT_EQ(packing.cut(), 3u);
  EXPECT_EQ(packing.left_out(), 1u);
  EXPECT_EQ(packing.pairs(), 9u);
}

TEST_F(Packed, NothingMakesNoWindow) {
  const Packing left_out = pack({".....x"}, 4);
  EXPECT_EQ(left_out.windows(), 0u);
  EXPECT_EQ(left_out.left_out(), 1u);
  const ConversationShards empty(folder_ / "s", Split::kHeldOut);
  EXPECT_EQ(Packing(empty, 4).windows(), 0u);
  EXPECT_EQ(refusal([&] { Packing(empty, std::size_t{1} << 32); }),
            "windows of 4294967296 tokens found, expected fewer than 2^32");
}

}  // namespace
}  // namespace tern::corpus
