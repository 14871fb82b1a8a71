// Blocks from a free list.
#include "tern/model/kv_pool.h"

#include <string>

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
      data_(blocks_ * block_bytes_) {
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
  return block;
}

void KvPool::give_back(std::uint32_t block) noexcept {
  const std::lock_guard lock(mutex_);
  free_.push_back(block);  // Never grows past what the constructor reserved.
}

void Session::reserve(std::size_t count) {
  const std::size_t needed = (position_ + count + kernels::kKvBlock - 1) / kernels::kKvBlock;
  while (blocks_.size() < needed) blocks_.push_back(pool_->take());
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
