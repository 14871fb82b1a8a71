// A loaded model: weights in the form in which the kernels read them. Const, and shared by threads.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/lora_adapter.h"
#include "tern/kernels/dispatch.h"
#include "tern/kernels/rope.h"
#include "tern/tensor/matrix.h"

namespace tern::model {

// y = W x + bias + B (A x). The addend takes x in floats, whatever the product with W takes.
struct Linear {
  Matrix weight;
  std::vector<float> bias;  // Empty: none.
  // Columns that share an activation scale: 0 where the whole row does (b1.58), the weight's group
  // where the model declares no quantisation of its own (ModelConfig::declares_b158).
  std::size_t activation_group = 0;
  const checkpoint::LowRank* addend = nullptr;  // Of the model's adapter; B holds its scale.
};

inline std::size_t addend_bytes(const checkpoint::LowRank& addend) noexcept {
  return addend.a.bytes.size() + addend.b.bytes.size();
}

struct LayerWeights {
  std::vector<float> attn_norm, q_norm, k_norm, attn_sub_norm, ffn_norm, ffn_sub_norm;
  Linear q, k, v, o, gate, up, down;
};

class Model {
 public:
  // Reads every tensor of `checkpoint`, which it keeps (dense matrices are views into its file).
  // `context` is how many positions a session may have: at most what the model was made for; 0
  // means that. Ternary matrices of linear layers take the densest layout that the table has (five
  // digits per byte; four where scales stand for groups of columns), or at most `layout`. The
  // linear layers that `adapter` has (one made for this checkpoint's config) get its addends.
  // Throws Error(kLimit) for more, and whatever the checkpoint throws.
  Model(std::shared_ptr<const checkpoint::Checkpoint> checkpoint, const kernels::KernelTable& table,
        std::size_t context, ThreadPool& pool, const Progress& progress = {},
        TernaryLayout layout = TernaryLayout::kFivePerByte,
        std::shared_ptr<const checkpoint::LoraAdapter> adapter = nullptr);

  const arch::ModelConfig& config() const noexcept { return checkpoint_->config(); }
  const checkpoint::Checkpoint& checkpoint() const noexcept { return *checkpoint_; }
  const kernels::KernelTable& kernels() const noexcept { return *table_; }
  const checkpoint::LoraAdapter* adapter() const noexcept { return adapter_.get(); }  // Or none.
  std::size_t context() const noexcept { return rope_.positions(); }

  const Matrix& embedding() const noexcept { return embedding_; }
  // Q6_K is kept as a SlicedMatrix (the same numbers); every other head as the checkpoint has it.
  const Matrix& head() const noexcept { return head_ ? *head_ : embedding_; }
  const std::vector<float>& output_norm() const noexcept { return output_norm_; }
  const std::vector<LayerWeights>& layers() const noexcept { return layers_; }
  const kernels::RopeTable& rope() const noexcept { return rope_; }
  // Of the first linear layer; four per byte where it is not ternary.
  TernaryLayout layout() const noexcept;

  // Bytes that one token's forward pass reads: body, head, norms; without embedding and KV cache.
  // Of a sliced head what a screen always reads, the records; BestWork says what came on top.
  std::size_t bytes_per_token() const noexcept;
  std::size_t head_bytes_per_token() const noexcept;  // Of these, the head's.
  // Bytes of all weights, embedding and head among them, as they are in memory.
  std::size_t weight_bytes() const noexcept;
  // Multiply-adds with ternary weights of one token.
  std::size_t ternary_macs_per_token() const noexcept;

 private:
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint_;
  std::shared_ptr<const checkpoint::LoraAdapter> adapter_;
  const kernels::KernelTable* table_;
  kernels::RopeTable rope_;
  Matrix embedding_;
  std::optional<Matrix> head_;
  std::vector<float> output_norm_;
  std::vector<LayerWeights> layers_;
};

}  // namespace tern::model
