// One product with the output matrix (the embedding, where the head is tied).
#include "tern/model/head.h"

#include <cassert>

#include "tern/kernels/dense.h"
#include "tern/kernels/ternary.h"

namespace tern::model {

void Head::logits(std::span<const float> hidden, std::span<float> logits, ThreadPool& pool,
                  Profile* profile) const {
  if (profile != nullptr) profile->start();
  const std::size_t width = model_->config().hidden;
  const std::size_t vocab = model_->config().vocab;
  const std::size_t tokens = hidden.size() / width;
  assert(logits.size() == tokens * vocab);
  if (const auto* ternary = std::get_if<TernaryMatrix>(&model_->head())) {
    kernels::ternary_matmul_float(model_->kernels(), *ternary, hidden.data(), width, tokens,
                                  logits.data(), vocab, pool);
  } else {
    kernels::dense_matmul(model_->kernels(), std::get<DenseMatrix>(model_->head()), hidden.data(),
                          width, tokens, logits.data(), vocab, pool);
  }
  if (profile != nullptr) {
    profile->mark(Op::kHead, model_->head_bytes_per_token(), tokens * vocab * width);
  }
}

}  // namespace tern::model
