// From final hidden states to logits.
#pragma once

#include <cstddef>
#include <span>

#include "tern/base/thread_pool.h"
#include "tern/model/model.h"
#include "tern/model/profile.h"

namespace tern::model {

// A view of a model's output matrix. Const; the model outlives it.
class Head {
 public:
  explicit Head(const Model& model) noexcept : model_(&model) {}

  // logits[t * vocab + id] for each of hidden.size() / H hidden states; `logits` has that room.
  // Activations stay float, whatever the head's storage.
  void logits(std::span<const float> hidden, std::span<float> logits, ThreadPool& pool,
              Profile* profile = nullptr) const;

 private:
  const Model* model_;
};

}  // namespace tern::model
