// The forward pass in the paper's order. T tokens, H hidden, F ffn, Q = heads * head_dim,
// KV = kv_heads * head_dim; every buffer is row-major, one row per token.
#include "tern/model/forward.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tern/base/error.h"
#include "tern/kernels/attention.h"
#include "tern/kernels/dense.h"
#include "tern/kernels/elementwise.h"
#include "tern/kernels/sliced.h"
#include "tern/kernels/ternary.h"

namespace tern::model {

Forward::Forward(const Model& model, ThreadPool& pool, std::size_t max_tokens)
    : model_(model), pool_(pool), max_tokens_(max_tokens), block_tables_(2 * pool.size()) {
  const arch::ModelConfig& c = model.config();
  rows_.reserve(max_tokens);
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
  for (auto& table : block_tables_) table.reserve(model.context() / kernels::kKvBlock + 1);
}

std::span<const float> Forward::run(const Batch& batch, Trace* trace) {
  check(batch);
  place(batch);
  trace_ = trace;
  embed(batch);  // x: T x H
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
}

void Forward::embed(const Batch& batch) {
  const std::size_t hidden = model_.config().hidden;
  float* out = x_.data();
  for (const BatchItem& item : batch) {
    for (const std::uint32_t id : item.tokens) {
      if (const auto* ternary = std::get_if<TernaryMatrix>(&model_.embedding())) {
        kernels::ternary_row(model_.kernels(), *ternary, id, out);
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
  set_input(normed_.data(), c.hidden, "qkv");
  linear(w.q, q_);  // T x Q
  linear(w.k, k_);  // T x KV
  linear(w.v, v_);  // T x KV
  show("q", q_.data(), c.q_width());
  show("k", k_.data(), c.kv_width());
  show("v", v_.data(), c.kv_width());
  if (c.qk_norm) {
    head_norms(q_, w.q_norm, c.heads);
    head_norms(k_, w.k_norm, c.kv_heads);
    show("q_norm", q_.data(), c.q_width());
    show("k_norm", k_.data(), c.kv_width());
  }
  rotate_and_store(layer);
  show("q_rope", q_.data(), c.q_width());
  show("k_rope", k_.data(), c.kv_width());
  attend(layer);  // attn: T x Q
  show("attn", attn_.data(), c.q_width());
  if (c.sub_norms) {
    norm(attn_.data(), w.attn_sub_norm, c.q_width(), attn_.data());
    show("attn_sub_norm", attn_.data(), c.q_width());
  }
  set_input(attn_.data(), c.q_width(), "o");
  linear(w.o, projected_);  // T x H
  show("o", projected_.data(), c.hidden);
  kernels::add(table, x_.data(), projected_.data(), tokens_ * c.hidden, pool_);
  show("attn_residual", x_.data(), c.hidden);
}

void Forward::rotate_and_store(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const kernels::KernelTable& table = model_.kernels();
  pool_.parallel_for(tokens_, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      const auto [session, position] = rows_[t];
      KvPool& cache = session->pool();
      const float* cos = model_.rope().cos(position);
      const float* sin = model_.rope().sin(position);
      float* k = k_.data() + t * c.kv_width();
      const float* v = v_.data() + t * c.kv_width();
      kernels::rope(table, q_.data() + t * c.q_width(), c.heads, c.head_dim, cos, sin);
      kernels::rope(table, k, c.kv_heads, c.head_dim, cos, sin);
      const std::uint32_t block = session->blocks()[position / kernels::kKvBlock];
      const std::size_t slot = position % kernels::kKvBlock;
      for (std::size_t h = 0; h < c.kv_heads; ++h) {
        kernels::kv_store(table, cache.k_type(), k + h * c.head_dim, c.head_dim,
                          cache.keys(block, layer, h), slot);
        kernels::kv_store(table, cache.v_type(), v + h * c.head_dim, c.head_dim,
                          cache.values(block, layer, h), slot);
      }
    }
  });
}

// Each (token, head) is one task; tasks are dealt out in turn, because later tokens see more keys.
void Forward::attend(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  const std::size_t group = c.heads / c.kv_heads;  // Query heads per KV head.
  pool_.run([&](std::size_t worker) {
    auto& k_blocks = block_tables_[2 * worker];
    auto& v_blocks = block_tables_[2 * worker + 1];
    for (std::size_t task = worker; task < tokens_ * c.kv_heads; task += pool_.size()) {
      const std::size_t t = task / c.kv_heads;
      const std::size_t kv_head = task % c.kv_heads;
      const auto [session, position] = rows_[t];
      KvPool& cache = session->pool();
      k_blocks.clear();
      v_blocks.clear();
      for (std::size_t b = 0; b <= position / kernels::kKvBlock; ++b) {
        k_blocks.push_back(cache.keys(session->blocks()[b], layer, kv_head));
        v_blocks.push_back(cache.values(session->blocks()[b], layer, kv_head));
      }
      for (std::size_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
        const std::size_t at = t * c.q_width() + h * c.head_dim;
        kernels::attention(model_.kernels(), q_.data() + at, c.head_dim, scale, k_blocks,
                           cache.k_type(), v_blocks, cache.v_type(), position + 1,
                           attn_.data() + at);
      }
    }
  });
}

void Forward::ffn_block(std::size_t layer) {
  const arch::ModelConfig& c = model_.config();
  const LayerWeights& w = model_.layers()[layer];
  const kernels::KernelTable& table = model_.kernels();

  norm(x_.data(), w.ffn_norm, c.hidden, normed_.data());  // T x H
  show("ffn_norm", normed_.data(), c.hidden);
  set_input(normed_.data(), c.hidden, "gate_up");
  linear(w.gate, gate_);  // T x F
  linear(w.up, up_);      // T x F
  show("gate", gate_.data(), c.ffn);
  show("up", up_.data(), c.ffn);
  if (c.activation == arch::GateActivation::kReluSquared) {
    kernels::relu2_mul(table, gate_.data(), up_.data(), tokens_ * c.ffn, pool_);
  } else {
    kernels::silu_mul(table, gate_.data(), up_.data(), tokens_ * c.ffn, pool_);
  }
  show("act", gate_.data(), c.ffn);
  if (c.sub_norms) {
    norm(gate_.data(), w.ffn_sub_norm, c.ffn, gate_.data());
    show("ffn_sub_norm", gate_.data(), c.ffn);
  }
  set_input(gate_.data(), c.ffn, "down");
  linear(w.down, projected_);  // T x H
  show("down", projected_.data(), c.hidden);
  kernels::add(table, x_.data(), projected_.data(), tokens_ * c.hidden, pool_);
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
  return {hidden_.data(), wanted * hidden};
}

void Forward::norm(const float* x, const std::vector<float>& weight, std::size_t n, float* out) {
  kernels::rmsnorm_rows(model_.kernels(), x, weight.data(), n, n, tokens_, model_.config().rms_eps,
                        out, pool_);
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

void Forward::set_input(const float* x, std::size_t cols, std::string name) {
  input_ = x;
  input_cols_ = cols;
  input_name_ = std::move(name);
  quantized_ = false;
}

void Forward::linear(const Linear& weights, std::vector<float>& y) {
  const kernels::KernelTable& table = model_.kernels();
  const std::size_t rows = matrix_rows(weights.weight);
  if (const auto* ternary = std::get_if<TernaryMatrix>(&weights.weight)) {
    if (!quantized_ || q8_.group != weights.activation_group) {
      q8_.resize(tokens_, input_cols_, weights.activation_group);
      kernels::quantize_rows(table, input_, input_cols_, q8_, pool_);
      if (!quantized_) show_quantized();  // Later ones of this input may have other groups.
      quantized_ = true;
    }
    kernels::ternary_matmul(table, *ternary, q8_, y.data(), rows, pool_);
  } else {
    kernels::dense_matmul(table, std::get<DenseMatrix>(weights.weight), input_, input_cols_,
                          tokens_, y.data(), rows, pool_);
  }
  if (weights.bias.empty()) return;
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t r = 0; r < rows; ++r) y[t * rows + r] += weights.bias[r];
  }
}

void Forward::show(const char* name, const float* x, std::size_t cols) {
  if (trace_ != nullptr) trace_->rows(prefix_ + name, DType::kF32, x, tokens_, cols, cols);
}

void Forward::show_quantized() {
  if (trace_ == nullptr) return;
  trace_->rows(prefix_ + input_name_ + ".q8", DType::kI8, q8_.row(0), tokens_, q8_.cols,
               q8_.stride);
  trace_->rows(prefix_ + input_name_ + ".q8_scale", DType::kF32, q8_.scales.data(), tokens_,
               q8_.groups, q8_.groups);
}

}  // namespace tern::model
