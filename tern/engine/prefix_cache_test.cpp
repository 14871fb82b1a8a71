// The tree of shared blocks against a plain list of everything that was inserted.
#include "tern/engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "tern/base/error.h"

namespace tern::engine {
namespace {

using model::KvPool;
using Tokens = std::vector<std::uint32_t>;

arch::ModelConfig small_config() {
  arch::ModelConfig c;
  c.layers = 1;
  c.heads = c.kv_heads = 1;
  c.head_dim = 16;
  return c;
}

Tokens some_tokens(std::size_t blocks, std::uint32_t first) {
  Tokens tokens(64 * blocks);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = first + static_cast<std::uint32_t>(i);
  return tokens;
}

TEST(KvPool, CountsHolders) {
  KvPool pool(small_config(), 130, kernels::KvType::kF32, kernels::KvType::kF32);
  EXPECT_EQ(pool.free_blocks(), 3u);
  const std::uint32_t block = pool.take();
  pool.hold(block);
  EXPECT_EQ(pool.holders(block), 2u);
  pool.give_back(block);
  EXPECT_EQ(pool.free_blocks(), 2u);
  pool.give_back(block);
  EXPECT_EQ(pool.free_blocks(), 3u);
}

// Who cuts a shared block and goes on writing has a copy; the other's bytes stay.
TEST(Session, CopiesWhatOthersHold) {
  KvPool pool(small_config(), 640, kernels::KvType::kF32, kernels::KvType::kF32);
  model::Session first(pool), second(pool);
  first.reserve(128);
  first.advance(128);
  std::memset(pool.keys(first.blocks()[1], 0, 0), 7, 64);
  second.adopt(first.blocks());
  EXPECT_EQ(second.position(), 128u);
  EXPECT_EQ(second.blocks(), first.blocks());
  EXPECT_EQ(pool.free_blocks(), 8u);
  second.truncate(100);
  second.reserve(1);
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  ASSERT_NE(second.blocks()[1], first.blocks()[1]);
  EXPECT_EQ(
      std::memcmp(pool.keys(second.blocks()[1], 0, 0), pool.keys(first.blocks()[1], 0, 0), 64), 0);
  second.truncate(0);
  EXPECT_EQ(pool.free_blocks(), 8u);
  EXPECT_EQ(pool.holders(first.blocks()[0]), 1u);
}

TEST(PrefixCache, FindsWholeBlocksOfTheSameBeginning) {
  KvPool pool(small_config(), 640, kernels::KvType::kF32, kernels::KvType::kF32);
  PrefixCache cache(pool);
  Tokens tokens = some_tokens(3, 0);
  Tokens blocks{pool.take(), pool.take(), pool.take()};
  cache.insert(tokens, blocks);
  EXPECT_EQ(cache.find(tokens), blocks);
  EXPECT_EQ(cache.find(std::span(tokens).first(191)), Tokens(blocks.begin(), blocks.begin() + 2));
  EXPECT_TRUE(cache.find(std::span(tokens).first(63)).empty());
  EXPECT_TRUE(cache.find(std::span(tokens).subspan(64)).empty());  // Not a beginning.
  tokens[70] = 9999;
  EXPECT_EQ(cache.find(tokens), Tokens{blocks[0]});
  // Known by another block already: the first stays.
  const Tokens twin{pool.take()};
  cache.insert(std::span(tokens).first(64), twin);
  EXPECT_EQ(cache.find(tokens), Tokens{blocks[0]});
  EXPECT_EQ(pool.holders(twin[0]), 1u);
}

TEST(PrefixCache, ForgetsTheLeastRecentlyUsedThatNobodyHolds) {
  KvPool pool(small_config(), 640, kernels::KvType::kF32, kernels::KvType::kF32);
  PrefixCache cache(pool);
  const Tokens a = some_tokens(2, 0), b = some_tokens(2, 1000);
  model::Session of_a(pool), of_b(pool);
  for (auto* session : {&of_a, &of_b}) {
    session->reserve(128);
    session->advance(128);
  }
  cache.insert(a, of_a.blocks());
  cache.insert(b, of_b.blocks());
  EXPECT_EQ(cache.evictable(), 0u);
  EXPECT_EQ(cache.evict(10), 0u);
  of_b.truncate(0);
  of_a.truncate(64);
  EXPECT_EQ(cache.evictable(), 3u);
  cache.find(b);  // a's end is now the oldest.
  EXPECT_EQ(cache.evict(1), 1u);
  EXPECT_EQ(cache.find(a).size(), 1u);
  EXPECT_EQ(cache.find(b).size(), 2u);
  EXPECT_EQ(cache.evict(10), 2u);
  EXPECT_TRUE(cache.find(b).empty());
  EXPECT_EQ(cache.find(a), of_a.blocks());  // Held.
  EXPECT_EQ(cache.blocks(), 1u);
  of_a.truncate(0);
  EXPECT_EQ(cache.evict(10), 1u);
  EXPECT_EQ(pool.free_blocks(), 10u);
}

TEST(PrefixCache, RandomTextsAgreeWithAList) {
  std::mt19937 rng(20261128);
  KvPool pool(small_config(), std::size_t{64} * 40, kernels::KvType::kF32, kernels::KvType::kF32);
  PrefixCache cache(pool);
  std::map<Tokens, std::uint32_t> known;  // By all tokens up to the block's end.
  for (int round = 0; round < 2000; ++round) {
    Tokens tokens;
    const std::size_t count = 1 + rng() % 4;
    for (std::size_t i = 0; i < count; ++i) {
      const auto piece = some_tokens(1, static_cast<std::uint32_t>(rng() % 3 * 1000));
      tokens.insert(tokens.end(), piece.begin(), piece.end());
    }
    const auto found = cache.find(tokens);
    for (std::size_t i = 0; i < count; ++i) {
      const auto at = known.find(
          Tokens(tokens.begin(), tokens.begin() + 64 * (static_cast<std::ptrdiff_t>(i) + 1)));
      if (i < found.size()) {
        ASSERT_NE(at, known.end());
        ASSERT_EQ(at->second, found[i]);
      }
    }
    model::Session session(pool);
    session.adopt(found);
    const std::size_t more = 64 * (count - found.size());
    if (more > pool.free_blocks() * 64) {
      const std::size_t wanted = 1 + rng() % 8;
      const std::size_t possible = cache.evictable();
      const std::size_t before = pool.free_blocks();
      const std::size_t given = cache.evict(wanted);
      ASSERT_EQ(given, std::min(wanted, possible));
      ASSERT_EQ(pool.free_blocks(), before + given);
      continue;
    }
    session.reserve(more);
    session.advance(more);
    cache.insert(tokens, session.blocks());
    for (std::size_t i = 0; i < count; ++i) {
      known[Tokens(tokens.begin(), tokens.begin() + 64 * (static_cast<std::ptrdiff_t>(i) + 1))] =
          session.blocks()[i];
    }
    ASSERT_EQ(cache.find(tokens), session.blocks());
  }
  const std::size_t held = 40 - pool.free_blocks();
  EXPECT_EQ(cache.evict(SIZE_MAX), held);
  EXPECT_EQ(cache.blocks(), 0u);
}

}  // namespace
}  // namespace tern::engine
