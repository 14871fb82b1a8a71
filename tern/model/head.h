// From final hidden states to logits: all of them, or the few best without the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/kernels/sliced.h"
#include "tern/model/model.h"
#include "tern/model/profile.h"

namespace tern::model {

struct TokenLogit {
  std::uint32_t id;
  float logit;
};

// Best first; equal logits by id.
inline bool better(const TokenLogit& a, const TokenLogit& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Which logits are wanted of one hidden state.
struct BestRequest {
  std::size_t count = 0;  // The so many best (all, where there are fewer); or, where this is 0,
  float within = 0;       // those at least the best one's logit less this.
  // These ids on top, whatever their logits; they take no place among the best. Each stands here
  // once and is below the vocabulary size.
  std::span<const std::uint32_t> always;
};

// What a call of best() cost.
struct BestWork {
  std::size_t bytes = 0;  // Of the head, that were read.
  std::size_t exact = 0;  // Logits computed exactly.
};

// The output matrix of a model, which outlives it, and the scratch memory of best(). One call of
// best() at a time; logits() is const.
class Head {
 public:
  explicit Head(const Model& model) noexcept : model_(&model) {}

  // logits[t * vocab + id] for each of hidden.size() / H hidden states; `logits` has that room.
  // Activations stay float, whatever the head's storage.
  void logits(std::span<const float> hidden, std::span<float> logits, ThreadPool& pool,
              Profile* profile = nullptr) const;

  // lists[t] = what requests[t] wants of hidden state t: ids with the bits that logits() has for
  // them, first the best ones by better(), then `always` in its order. Exact: where a sliced head
  // is screened, a proven bound (kernels/sliced.h) says which rows need no look at; other heads,
  // and hidden states that have no bound, take all logits. A logit that is not finite is in its
  // list, whatever was asked for.
  BestWork best(std::span<const float> hidden, std::span<const BestRequest> requests,
                std::span<std::vector<TokenLogit>> lists, ThreadPool& pool,
                Profile* profile = nullptr);

 private:
  // One hidden state's part of best().
  void choose_from_all(std::span<float> logits, const BestRequest& request,
                       std::vector<TokenLogit>& list);
  void screen(const SlicedMatrix& head, std::span<const float> hidden,
              std::span<const BestRequest> requests, std::span<std::vector<TokenLogit>> lists,
              ThreadPool& pool, BestWork& work);
  void choose_by_bounds(const SlicedMatrix& head, const float* hidden, std::size_t t, bool closest,
                        const BestRequest& request, std::vector<TokenLogit>& list, ThreadPool& pool,
                        BestWork& work);
  float seed_threshold(std::span<const float> upper, std::span<const float> maxima,
                       std::size_t count);
  std::size_t survivors(const SlicedMatrix& head, std::size_t t, bool closest,
                        std::span<const float> upper, std::span<const float> maxima, float least,
                        ThreadPool& pool);

  const Model* model_;
  kernels::ScreenInput input_;
  std::vector<float> upper_, maxima_, all_, sorted_;
  std::vector<TokenLogit> found_;
  std::vector<std::vector<std::uint32_t>> per_worker_;
};

}  // namespace tern::model
