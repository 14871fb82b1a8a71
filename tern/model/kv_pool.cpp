// Blocks from a free list.
#include "tern/model/kv_pool.h"

#include <cassert>
#include <cstring>
#include <string>
#include <utility>

#include "tern/base/error.h"

namespace tern::model {

KvPool::KvPool(const arch::ModelConfig& config, std::size_t positions, kernels::KvType k_type,
               kernels::KvType v_type)
    : k_type_(k_type),
      v_type_(v_type),
      blocks_((positions + kernels::kKvBlock - 1) / kernels::kKvBlock),
      k_head_bytes_(kernels::kv_key_bytes(k_type, config.head_dim)),
      v_head_bytes_(kernels::kv_value_bytes(v_type, config.head_dim)),
      layer_bytes_(config.kv_heads * (k_head_bytes_ + v_head_bytes_)),
      block_bytes_(config.layers * layer_bytes_),
      data_(blocks_ * block_bytes_),
      holders_(blocks_) {
  free_.reserve(blocks_);
  for (std::size_t b = blocks_; b-- > 0;) free_.push_back(static_cast<std::uint32_t>(b));
}

std::uint32_t KvPool::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    throw Error(ErrorCode::kLimit, "the KV cache is full: all " +
                                       std::to_string(blocks_ * kernels::kKvBlock) +
                                       " positions are taken");
  }
  const std::uint32_t block = free_.back();
  free_.pop_back();
  holders_[block] = 1;
  return block;
}

void KvPool::hold(std::uint32_t block) noexcept {
  const std::lock_guard lock(mutex_);
  ++holders_[block];
}

void KvPool::give_back(std::uint32_t block) noexcept {
  const std::lock_guard lock(mutex_);
  assert(holders_[block] > 0);
  if (--holders_[block] > 0) return;
  free_.push_back(block);  // Never grows past what the constructor reserved.
}

std::size_t KvPool::holders(std::uint32_t block) const noexcept {
  const std::lock_guard lock(mutex_);
  return holders_[block];
}

std::size_t KvPool::free_blocks() const noexcept {
  const std::lock_guard lock(mutex_);
  return free_.size();
}

void KvPool::copy(std::uint32_t from, std::uint32_t to) noexcept {
  std::memcpy(data_.data() + to * block_bytes_, data_.data() + from * block_bytes_, block_bytes_);
}

void Session::reserve(std::size_t count) {
  const std::size_t first = position_ / kernels::kKvBlock;
  if (count > 0 && first < blocks_.size() && pool_->holders(blocks_[first]) > 1) {
    const std::uint32_t own = pool_->take();
    pool_->copy(blocks_[first], own);
    pool_->give_back(std::exchange(blocks_[first], own));
  }
  const std::size_t needed = (position_ + count + kernels::kKvBlock - 1) / kernels::kKvBlock;
  while (blocks_.size() < needed) blocks_.push_back(pool_->take());
}

void Session::adopt(std::span<const std::uint32_t> blocks) {
  assert(position_ % kernels::kKvBlock == 0);
  truncate(position_);  // Room that was made and not used.
  for (const std::uint32_t block : blocks) {
    pool_->hold(block);
    blocks_.push_back(block);
  }
  position_ += blocks.size() * kernels::kKvBlock;
}

void Session::truncate(std::size_t position) noexcept {
  if (position < position_) position_ = position;
  const std::size_t kept = (position_ + kernels::kKvBlock - 1) / kernels::kKvBlock;
  while (blocks_.size() > kept) {
    pool_->give_back(blocks_.back());
    blocks_.pop_back();
  }
}

}  // namespace tern::model
