// For tests: a model that is nothing but a Q6_K head, which is its embedding too.
#pragma once

#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "tern/model/head.h"
#include "tern/tensor/half.h"

namespace tern::model {

inline constexpr std::size_t kQ6KBytes = 210;

class HeadOnly final : public checkpoint::Checkpoint {
 public:
  // Random codes and scales, d of about 1 / 1000: logits of some units for hidden states near 1.
  HeadOnly(std::size_t vocab, std::size_t blocks, std::mt19937& rng)
      : bytes_(vocab * blocks * kQ6KBytes) {
    config_.hidden = config_.ffn = 256 * blocks;
    config_.heads = config_.kv_heads = 1;
    config_.head_dim = 64;
    config_.vocab = vocab;
    config_.context = 64;
    config_.tied_head = true;
    for (auto& b : bytes_) b = static_cast<std::byte>(rng());
    for (std::size_t i = 0; i < vocab * blocks; ++i) {
      const std::uint16_t d = float_to_f16(static_cast<float>(rng() % 1000) * 1e-6f);
      std::memcpy(&bytes_[i * kQ6KBytes + 208], &d, 2);
      // Scales near each other, as quantisers write them, of both signs.
      for (std::size_t g = 0; g < 16; ++g) {
        const int size = 32 + static_cast<int>(rng() % 32);
        bytes_[i * kQ6KBytes + 192 + g] = static_cast<std::byte>(rng() % 2 == 0 ? size : -size);
      }
    }
  }
  std::size_t row_bytes() const { return config_.hidden / 256 * kQ6KBytes; }
  std::byte* row(std::size_t r) { return &bytes_[r * row_bytes()]; }

  DenseMatrix dense() const {
    DenseMatrix m;
    m.type = DType::kQ6_K;
    m.rows = config_.vocab;
    m.cols = config_.hidden;
    m.owned = AlignedBuffer(bytes_.size());
    std::memcpy(m.owned.data(), bytes_.data(), bytes_.size());
    m.bytes = {m.owned.data(), m.owned.size()};
    return m;
  }
  std::string_view format() const noexcept override { return "test"; }
  std::vector<checkpoint::TensorInfo> tensors() const override { return {}; }
  std::vector<float> vector(arch::TensorRole, std::size_t) const override {
    return std::vector<float>(config_.hidden, 1.0f);
  }
  Matrix matrix(arch::TensorRole, std::size_t, ThreadPool&, TernaryLayout) const override {
    return dense();
  }

 private:
  std::vector<std::byte> bytes_;
};

// Numbers of about a normal distribution around 0, the same on every machine.
inline std::vector<float> hidden_states(std::size_t n, std::mt19937& rng) {
  std::vector<float> h(n);
  for (float& v : h) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int>(rng() % 2048) - 1024;
    v = static_cast<float>(sum) / 1024;
  }
  return h;
}

}  // namespace tern::model
