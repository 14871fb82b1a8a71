// The KV cache: fixed blocks of 64 positions, handed to sessions as they grow, and shared by those
// whose texts begin alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "tern/arch/model_config.h"
#include "tern/base/aligned_buffer.h"
#include "tern/kernels/attention.h"

namespace tern::model {

// Memory for `positions` positions of all layers, rounded up to whole blocks; pages are touched
// only when used. Outlives its sessions. A block that is taken has one holder; others may join, and
// it is free again when the last has given it back. Who writes to a block must be its only holder.
// The functions that count holders may be called from any thread.
class KvPool {
 public:
  // Throws Error(kLimit) when memory runs out.
  KvPool(const arch::ModelConfig& config, std::size_t positions, kernels::KvType k_type,
         kernels::KvType v_type);

  kernels::KvType k_type() const noexcept { return k_type_; }
  kernels::KvType v_type() const noexcept { return v_type_; }
  std::size_t blocks() const noexcept { return blocks_; }
  // Bytes that attention reads for one position of all layers.
  std::size_t bytes_per_position() const noexcept { return block_bytes_ / kernels::kKvBlock; }

  std::uint32_t take();  // A free block. Throws Error(kLimit) where there is none.
  void hold(std::uint32_t block) noexcept;
  void give_back(std::uint32_t block) noexcept;
  std::size_t holders(std::uint32_t block) const noexcept;
  std::size_t free_blocks() const noexcept;
  // All layers' keys and values of 64 positions.
  void copy(std::uint32_t from, std::uint32_t to) noexcept;

  // 64 positions of one layer and one KV head: see kernels/attention.h.
  std::byte* keys(std::uint32_t block, std::size_t layer, std::size_t kv_head) noexcept {
    return data_.data() + block * block_bytes_ + layer * layer_bytes_ +
           kv_head * (k_head_bytes_ + v_head_bytes_);
  }
  std::byte* values(std::uint32_t block, std::size_t layer, std::size_t kv_head) noexcept {
    return keys(block, layer, kv_head) + k_head_bytes_;
  }

 private:
  kernels::KvType k_type_, v_type_;
  std::size_t blocks_, k_head_bytes_, v_head_bytes_, layer_bytes_, block_bytes_;
  AlignedBuffer data_;
  mutable std::mutex mutex_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> holders_;  // Of each block.
};

// One conversation: the blocks that hold its past, and how long that is. Not for several threads at
// once. Returns its blocks when it dies.
class Session {
 public:
  explicit Session(KvPool& pool) noexcept : pool_(&pool) {}
  ~Session() { truncate(0); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  std::size_t position() const noexcept { return position_; }  // Tokens in the cache.
  KvPool& pool() const noexcept { return *pool_; }
  const std::vector<std::uint32_t>& blocks() const noexcept { return blocks_; }

  // Makes room for `count` more positions, and copies the block that they begin in where others
  // hold it too. Throws Error(kLimit); what was taken before stays.
  void reserve(std::size_t count);
  // The next positions are those of `blocks`, whole ones that hold what this session's next tokens
  // would have written. Requires position() to be a multiple of 64.
  void adopt(std::span<const std::uint32_t> blocks);
  void advance(std::size_t count) noexcept { position_ += count; }  // After reserve().
  // Forgets all positions from `position` on.
  void truncate(std::size_t position) noexcept;

 private:
  KvPool* pool_;
  std::size_t position_ = 0;
  std::vector<std::uint32_t> blocks_;
};

}  // namespace tern::model
