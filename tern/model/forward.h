// The forward pass: one call serves a prompt, one generated token and thirty users' tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/kernels/quantize.h"
#include "tern/model/attention_tasks.h"
#include "tern/model/kv_pool.h"
#include "tern/model/model.h"
#include "tern/model/profile.h"
#include "tern/model/trace.h"

namespace tern::model {

// New tokens of one session, which follow what the session has in its cache.
struct BatchItem {
  Session* session = nullptr;
  std::span<const std::uint32_t> tokens;
  std::size_t wanted_from = 0;  // Final hidden states are wanted of tokens[wanted_from ...].
};
using Batch = std::vector<BatchItem>;

// The scratch memory of one forward pass at a time. The same bits come out whatever the batch, the
// number of threads or the instruction set.
class Forward {
 public:
  // `max_tokens`: the most that one run() takes, over all items.
  Forward(const Model& model, ThreadPool& pool, std::size_t max_tokens);

  std::size_t max_tokens() const noexcept { return max_tokens_; }
  const Model& model() const noexcept { return model_; }

  // Runs all items' tokens through the model and advances their sessions. Returns the wanted final
  // hidden states (after the output norm), hidden floats each, in order; valid until the next run.
  // Throws Error(kLimit), before any session has changed, for a token id outside the vocabulary,
  // a session past the model's context, a full cache, or more than max_tokens tokens. A session
  // may stand in only one item. A trace is shown every operation's output, a profile its cost.
  std::span<const float> run(const Batch& batch, Trace* trace = nullptr,
                             Profile* profile = nullptr);

 private:
  struct Row {  // Where a token of the batch stands.
    Session* session;
    std::size_t position;
  };

  void check(const Batch& batch) const;
  void place(const Batch& batch);
  void embed(const Batch& batch);
  void attention_block(std::size_t layer);
  void rotate_and_store(std::size_t layer);
  void ffn_block(std::size_t layer);
  std::span<const float> finish(const Batch& batch);

  void norm(const float* x, const std::vector<float>& weight, std::size_t n, float* out);
  void head_norms(std::vector<float>& x, const std::vector<float>& weight, std::size_t heads);
  // The input of the next linear() call.
  void set_input(const float* x, std::size_t cols, Op op);
  // Products with it. Ternary ones that share an activation scale are one step of the pool.
  struct Product {
    const Linear& weights;
    std::vector<float>& y;
  };
  void linear(std::initializer_list<Product> products);
  void quantize_input(std::size_t group);
  // y += B (A input), dot products in the order of kernels/dense.h, then one addition each.
  void add_low_rank(const checkpoint::LowRank& addend, float* y);
  void show(const char* name, const float* x, std::size_t cols);
  void show_quantized();
  void mark(Op op, std::uint64_t bytes = 0, std::uint64_t macs = 0) {
    if (profile_ != nullptr) profile_->mark(op, bytes, macs);
  }
  void mark_attention();

  const Model& model_;
  ThreadPool& pool_;
  std::size_t max_tokens_;
  std::size_t tokens_ = 0;  // Of the batch that runs.
  std::vector<Row> rows_;
  // Where the tokens of another block of the cache begin in rows_, and rows_.size() at the end.
  std::vector<std::size_t> block_begins_;
  // Rows of floats, one per token: the residual stream, the normed input, and so on.
  std::vector<float> x_, normed_, q_, k_, v_, attn_, projected_, gate_, up_, hidden_;
  std::vector<float> low_, addend_;  // A x and B (A x); empty where no layer has an addend.
  kernels::Int8Rows q8_;
  const float* input_ = nullptr;
  std::size_t input_cols_ = 0;
  Op input_op_ = Op::kQkv;
  bool quantized_ = false;
  AttentionTasks attention_;
  Trace* trace_ = nullptr;
  Profile* profile_ = nullptr;
  std::string prefix_;  // "layers.3." while tracing.
};

}  // namespace tern::model
