// The forward pass in the paper's order. T tokens, H hidden, F ffn, Q = heads * head_dim,
// KV = kv_heads * head_dim; every buffer is row-major, one row per token.
#include "tern/model/forward.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tern/base/error.h"
#include "tern/kernels/attention.h"
#include "tern/kernels/dense.h"
#include "tern/kernels/elementwise.h"
#include "tern/kernels/sliced.h"
#include "tern/kernels/ternary.h"

namespace tern::model {

Forward::Forward(const Model& model, ThreadPool& pool, std::size_t max_tokens)
    : model_(model), pool_(pool), max_tokens_(max_tokens), attention_(model, pool, max_tokens) {
  const arch::ModelConfig& c = model.config();
  rows_.reserve(max_tokens);
  block_begins_.reserve(max_tokens + 1);
  x_.resize(max_tokens * c.hidden);
  normed_.resize(max_tokens * c.hidden);
  q_.resize(max_tokens * c.q_width());
  k_.resize(max_tokens * c.kv_width());
  v_.resize(max_tokens * c.kv_width());
  attn_.resize(max_tokens * c.q_width());
  projected_.resize(max_tokens * c.hidden);
  gate_.resize(max_tokens * c.ffn);
  up_.resize(max_tokens * c.ffn);
  hidden_.resize(max_tokens * c.hidden);
  if (model.adapter() != nullptr) {
    low_.resize(max_tokens * model.adapter()->description().rank);
    addend_.resize(max_tokens * std::max({c.hidden, c.q_width(), c.kv_width(), c.ffn}));
  }
}

std::span<const float> Forward::run(const Batch& batch, Trace* trace, Profile* profile) {
  if (profile != nullptr) profile->start();
  check(batch);
  place(batch);
  trace_ = trace;
  profile_ = profile;
  embed(batch);  // x: T x H
  mark(Op::kEmbed);
  for (std::size_t layer = 0; layer < model_.layers().size(); ++layer) {
    if (trace_ != nullptr) prefix_ = "layers." + std::to_string(layer) + ".";
    attention_block(layer);
    ffn_block(layer);
  }
  prefix_.clear();
  for (const BatchItem& item : batch) item.session->advance(item.tokens.size());
  return finish(batch);
}

void Forward::check(const Batch& batch) const {
  const arch::ModelConfig& c = model_.config();
  std::size_t total = 0;
  for (const BatchItem& item : batch) {
    total += item.tokens.size();
    for (const std::uint32_t id : item.tokens) {
      if (id >= c.vocab) {
        throw Error(ErrorCode::kLimit, "token id " + std::to_string(id) +
                                           " found, expected one below the vocabulary size " +
                                           std::to_string(c.vocab));
      }
    }
    const std::size_t end = item.session->position() + item.tokens.size();
    if (end > model_.context()) {
      throw Error(ErrorCode::kLimit, "a text of " + std::to_string(end) +
                                         " tokens found, expected at most the context of " +
                                         std::to_string(model_.context()));
    }
  }
  if (total > max_tokens_) {
    throw Error(ErrorCode::kLimit, "a batch of " + std::to_string(total) +
                                       " tokens found, expected at most " +
                                       std::to_string(max_tokens_));
  }
}

void Forward::place(const Batch& batch) {
  for (const BatchItem& item : batch) item.session->reserve(item.tokens.size());
  rows_.clear();
  for (const BatchItem& item : batch) {
    for (std::size_t i = 0; i < item.tokens.size(); ++i) {
      rows_.push_back({item.session, item.session->position() + i});
    }
  }
  tokens_ = rows_.size();
  block_begins_.clear();
  for (std::size_t t = 0; t < tokens_; ++t) {
    const bool begins = t == 0 || rows_[t].session != rows_[t - 1].session ||
                        rows_[t].position % kernels::kKvBlock == 0;
    if (begins) block_begins_.push_back(t);
  }
  block_begins_.push_back(tokens_);
  attention_.begin();
  for (const BatchItem& item : batch) attention_.add(*item.session, item.tokens.size());
}

void Forward::embed(const Batch& batch) {
  const std::size_t hidden = model_.config().hidden;
  float* out = x_.data();
  for (const BatchItem& item : batch) {
    for (const std::uint32_t id : item.tokens) {
      if (const auto* ternary = std::get_if<TernaryMatrix>(&model_.embedding())) {
        kernels::ternary_row(*ternary, id, out);
      } else if (const auto* sliced = std::get_if<SlicedMatrix>(&model_.embedding())) {
        kernels::sliced_row(model_.kernels(), *sliced, id, out);
      } else {
        kernels::dense_row(model_.kernels(), std::get<DenseMatrix>(model_.embedding()), id, out);
      }
      out += hidden;
    }
  }
  show("embed", x_.data(), hidden);
}

void Forward::attention_block(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const LayerWeights& w = model_.layers()[layer];
  const kernels::KernelTable& table = model_.kernels();

  norm(x_.data(), w.attn_norm, c.hidden, normed_.data());  // T x H
  show("attn_norm", normed_.data(), c.hidden);
  set_input(normed_.data(), c.hidden, Op::kQkv);
  linear({{w.q, q_}, {w.k, k_}, {w.v, v_}});  // T x Q, T x KV, T x KV
  show("q", q_.data(), c.q_width());
  show("k", k_.data(), c.kv_width());
  show("v", v_.data(), c.kv_width());
  if (c.qk_norm) {
    head_norms(q_, w.q_norm, c.heads);
    head_norms(k_, w.k_norm, c.kv_heads);
    show("q_norm", q_.data(), c.q_width());
    show("k_norm", k_.data(), c.kv_width());
    mark(Op::kNorm, (w.q_norm.size() + w.k_norm.size()) * sizeof(float));
  }
  rotate_and_store(layer);
  mark(Op::kRopeStore);
  show("q_rope", q_.data(), c.q_width());
  show("k_rope", k_.data(), c.kv_width());
  attention_.run(layer, q_.data(), attn_.data());  // attn: T x Q
  mark_attention();
  show("attn", attn_.data(), c.q_width());
  if (c.sub_norms) {
    norm(attn_.data(), w.attn_sub_norm, c.q_width(), attn_.data());
    show("attn_sub_norm", attn_.data(), c.q_width());
  }
  set_input(attn_.data(), c.q_width(), Op::kO);
  linear({{w.o, projected_}});  // T x H
  show("o", projected_.data(), c.hidden);
  kernels::add(table, x_.data(), projected_.data(), tokens_ * c.hidden, pool_);
  mark(Op::kResidual);
  show("attn_residual", x_.data(), c.hidden);
}

// A block of one KV head is one thread's, because int4 keys share bytes.
void Forward::rotate_and_store(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const kernels::KernelTable& table = model_.kernels();
  const std::size_t group = c.heads / c.kv_heads, blocks = block_begins_.size() - 1;
  const auto rotate_and_store_block = [&](std::size_t begin, std::size_t end, std::size_t h) {
    for (std::size_t t = begin; t < end; ++t) {
      const auto [session, position] = rows_[t];
      KvPool& cache = session->pool();
      const float* cos = model_.rope().cos(position);
      const float* sin = model_.rope().sin(position);
      float* q = q_.data() + t * c.q_width() + h * group * c.head_dim;
      float* k = k_.data() + t * c.kv_width() + h * c.head_dim;
      const float* v = v_.data() + t * c.kv_width() + h * c.head_dim;
      kernels::rope(table, q, group, c.head_dim, cos, sin);
      kernels::rope(table, k, 1, c.head_dim, cos, sin);
      const std::uint32_t block = session->blocks()[position / kernels::kKvBlock];
      const std::size_t slot = position % kernels::kKvBlock;
      kernels::kv_store_key(table, cache.k_type(), k, c.head_dim, cache.keys(block, layer, h),
                            slot);
      kernels::kv_store_value(table, cache.v_type(), v, c.head_dim, cache.values(block, layer, h),
                              slot);
    }
  };
  // Blocks of one token each are too little work to share out by head.
  const std::size_t grain = blocks == tokens_ ? c.kv_heads : 1;
  pool_.parallel_for(blocks * c.kv_heads, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t block = i / c.kv_heads;
      rotate_and_store_block(block_begins_[block], block_begins_[block + 1], i % c.kv_heads);
    }
  });
}

void Forward::ffn_block(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const LayerWeights& w = model_.layers()[layer];
  const kernels::KernelTable& table = model_.kernels();

  norm(x_.data(), w.ffn_norm, c.hidden, normed_.data());  // T x H
  show("ffn_norm", normed_.data(), c.hidden);
  set_input(normed_.data(), c.hidden, Op::kGateUp);
  linear({{w.gate, gate_}, {w.up, up_}});  // T x F each
  show("gate", gate_.data(), c.ffn);
  show("up", up_.data(), c.ffn);
  if (c.activation == arch::GateActivation::kReluSquared) {
    kernels::relu2_mul(table, gate_.data(), up_.data(), tokens_ * c.ffn, pool_);
  } else {
    kernels::silu_mul(table, gate_.data(), up_.data(), tokens_ * c.ffn, pool_);
  }
  mark(Op::kActivation);
  show("act", gate_.data(), c.ffn);
  if (c.sub_norms) {
    norm(gate_.data(), w.ffn_sub_norm, c.ffn, gate_.data());
    show("ffn_sub_norm", gate_.data(), c.ffn);
  }
  set_input(gate_.data(), c.ffn, Op::kDown);
  linear({{w.down, projected_}});  // T x H
  show("down", projected_.data(), c.hidden);
  kernels::add(table, x_.data(), projected_.data(), tokens_ * c.hidden, pool_);
  mark(Op::kResidual);
  show("residual", x_.data(), c.hidden);
}

std::span<const float> Forward::finish(const Batch& batch) {
  const std::size_t hidden = model_.config().hidden;
  // While tracing, every token's final state is shown, wanted or not.
  if (trace_ != nullptr) {
    norm(x_.data(), model_.output_norm(), hidden, normed_.data());
    show("output_norm", normed_.data(), hidden);
  }
  std::size_t wanted = 0;
  std::size_t first = 0;
  for (const BatchItem& item : batch) {
    for (std::size_t i = item.wanted_from; i < item.tokens.size(); ++i) {
      const float* from = x_.data() + (first + i) * hidden;
      std::copy(from, from + hidden, hidden_.data() + wanted++ * hidden);
    }
    first += item.tokens.size();
  }
  kernels::rmsnorm_rows(model_.kernels(), hidden_.data(), model_.output_norm().data(), hidden,
                        hidden, wanted, model_.config().rms_eps, hidden_.data(), pool_);
  mark(Op::kOutputNorm, hidden * sizeof(float));
  return {hidden_.data(), wanted * hidden};
}

void Forward::norm(const float* x, const std::vector<float>& weight, std::size_t n, float* out) {
  kernels::rmsnorm_rows(model_.kernels(), x, weight.data(), n, n, tokens_, model_.config().rms_eps,
                        out, pool_);
  mark(Op::kNorm, n * sizeof(float));
}

void Forward::head_norms(std::vector<float>& x, const std::vector<float>& weight,
                         std::size_t heads) {
  const arch::ModelConfig& c = model_.config();
  pool_.parallel_for(tokens_ * heads, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      float* head = x.data() + i * c.head_dim;
      kernels::rmsnorm(model_.kernels(), head, weight.data(), c.head_dim, c.rms_eps, head);
    }
  });
}

void Forward::set_input(const float* x, std::size_t cols, Op op) {
  input_ = x;
  input_cols_ = cols;
  input_op_ = op;
  quantized_ = false;
}

void Forward::quantize_input(std::size_t group) {
  if (quantized_ && q8_.group == group) return;
  q8_.resize(tokens_, input_cols_, group);
  kernels::quantize_rows(model_.kernels(), input_, input_cols_, q8_, pool_);
  if (!quantized_) show_quantized();  // Later ones of this input may have other groups.
  quantized_ = true;
  mark(Op::kQuantize);
}

void Forward::linear(std::initializer_list<Product> products) {
  const kernels::KernelTable& table = model_.kernels();
  std::array<kernels::TernaryProduct, 3> together;
  std::size_t waiting = 0;
  const auto multiply = [&] {
    kernels::ternary_matmul(table, std::span(together).first(std::exchange(waiting, 0)), q8_,
                            pool_);
  };
  std::size_t bytes = 0, macs = 0;
  for (const auto& [weights, y] : products) {
    const std::size_t rows = matrix_rows(weights.weight);
    if (const auto* ternary = std::get_if<TernaryMatrix>(&weights.weight)) {
      if (waiting > 0 && q8_.group != weights.activation_group) multiply();
      quantize_input(weights.activation_group);
      together[waiting++] = {ternary, y.data(), rows};
    } else {
      kernels::dense_matmul(table, std::get<DenseMatrix>(weights.weight), input_, input_cols_,
                            tokens_, y.data(), rows, pool_);
    }
    bytes += matrix_bytes(weights.weight);
    macs += tokens_ * rows * input_cols_;
  }
  if (waiting > 0) multiply();
  for (const auto& [weights, y] : products) {
    const std::size_t rows = weights.bias.size();
    for (std::size_t t = 0; t < tokens_ && rows > 0; ++t) {
      for (std::size_t r = 0; r < rows; ++r) y[t * rows + r] += weights.bias[r];
    }
    if (const checkpoint::LowRank* addend = weights.addend) {
      add_low_rank(*addend, y.data());
      bytes += addend_bytes(*addend);
      macs += tokens_ * (addend->a.cols + addend->b.rows) * addend->a.rows;
    }
  }
  mark(input_op_, bytes, macs);
}

void Forward::add_low_rank(const checkpoint::LowRank& addend, float* y) {
  const kernels::KernelTable& table = model_.kernels();
  const std::size_t rank = addend.a.rows, rows = addend.b.rows;
  kernels::dense_matmul(table, addend.a, input_, input_cols_, tokens_, low_.data(), rank, pool_);
  kernels::dense_matmul(table, addend.b, low_.data(), rank, tokens_, addend_.data(), rows, pool_);
  kernels::add(table, y, addend_.data(), tokens_ * rows, pool_);
}

// The keys and values of each session are read once; each token meets those up to its own.
void Forward::mark_attention() {
  if (profile_ == nullptr) return;
  const arch::ModelConfig& c = model_.config();
  std::uint64_t bytes = 0, macs = 0;
  for (std::size_t t = 0; t < tokens_; ++t) {
    const auto [session, position] = rows_[t];
    macs += 2 * (position + 1) * c.q_width();
    if (t + 1 < tokens_ && rows_[t + 1].session == session) continue;  // The last one counts.
    bytes += (position + 1) * session->pool().bytes_per_position() / c.layers;
  }
  profile_->mark(Op::kAttention, bytes, macs);
}

void Forward::show(const char* name, const float* x, std::size_t cols) {
  if (trace_ != nullptr) trace_->rows(prefix_ + name, DType::kF32, x, tokens_, cols, cols);
}

void Forward::show_quantized() {
  if (trace_ == nullptr) return;
  const std::string name = prefix_ + std::string(op_name(input_op_));
  trace_->rows(name + ".q8", DType::kI8, q8_.row(0), tokens_, q8_.cols, q8_.stride);
  trace_->rows(name + ".q8_scale", DType::kF32, q8_.scales.data(), tokens_, q8_.groups, q8_.groups);
}

}  // namespace tern::model
