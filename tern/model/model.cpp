// Loading: every tensor by its role.
#include "tern/model/model.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "tern/arch/rope_frequencies.h"
#include "tern/base/error.h"
#include "tern/kernels/attention.h"

namespace tern::model {
namespace {

using arch::TensorRole;

std::size_t checked_context(const checkpoint::Checkpoint& checkpoint, std::size_t context) {
  const std::size_t made_for = checkpoint.config().context;
  if (context > made_for) {
    throw Error(ErrorCode::kLimit, checkpoint.name() + ": a context of " + std::to_string(context) +
                                       " positions was asked for, the model was made for " +
                                       std::to_string(made_for));
  }
  return context == 0 ? made_for : context;
}

Linear load_linear(const checkpoint::Checkpoint& c, TensorRole weight,
                   std::optional<TensorRole> bias, std::size_t layer, TernaryLayout layout,
                   ThreadPool& pool) {
  Linear linear;
  linear.weight = c.matrix(weight, layer, pool, layout);
  if (bias) linear.bias = c.vector(*bias, layer);
  const auto* ternary = std::get_if<TernaryMatrix>(&linear.weight);
  if (ternary == nullptr) return linear;
  if (!c.config().declares_b158) linear.activation_group = ternary->group();
  if (ternary->scale_kind() != ScaleKind::kGroup && ternary->layout() != layout) {
    linear.weight = with_layout(*ternary, layout, pool);
  }
  return linear;
}

LayerWeights load_layer(const checkpoint::Checkpoint& c, std::size_t layer, TernaryLayout layout,
                        ThreadPool& pool) {
  LayerWeights w;
  w.attn_norm = c.vector(TensorRole::kAttnNorm, layer);
  w.q_norm = c.vector(TensorRole::kQNorm, layer);
  w.k_norm = c.vector(TensorRole::kKNorm, layer);
  w.attn_sub_norm = c.vector(TensorRole::kAttnSubNorm, layer);
  w.ffn_norm = c.vector(TensorRole::kFfnNorm, layer);
  w.ffn_sub_norm = c.vector(TensorRole::kFfnSubNorm, layer);
  w.q = load_linear(c, TensorRole::kQ, TensorRole::kQBias, layer, layout, pool);
  w.k = load_linear(c, TensorRole::kK, TensorRole::kKBias, layer, layout, pool);
  w.v = load_linear(c, TensorRole::kV, TensorRole::kVBias, layer, layout, pool);
  w.o = load_linear(c, TensorRole::kO, TensorRole::kOBias, layer, layout, pool);
  w.gate = load_linear(c, TensorRole::kGate, TensorRole::kGateBias, layer, layout, pool);
  w.up = load_linear(c, TensorRole::kUp, TensorRole::kUpBias, layer, layout, pool);
  w.down = load_linear(c, TensorRole::kDown, TensorRole::kDownBias, layer, layout, pool);
  return w;
}

// A Q6_K head in the form that can be screened; its file pages are not needed then.
void slice(Matrix& head, ThreadPool& pool) {
  const auto* dense = std::get_if<DenseMatrix>(&head);
  if (dense == nullptr || dense->type != DType::kQ6_K) return;
  head = SlicedMatrix(*dense, pool, dense->owned.size() == 0);
}

std::array<const Linear*, 7> linears(const LayerWeights& w) {
  return {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down};
}

void set_addends(LayerWeights& w, const checkpoint::LoraAdapter& adapter, std::size_t layer) {
  w.q.addend = adapter.find(TensorRole::kQ, layer);
  w.k.addend = adapter.find(TensorRole::kK, layer);
  w.v.addend = adapter.find(TensorRole::kV, layer);
  w.o.addend = adapter.find(TensorRole::kO, layer);
  w.gate.addend = adapter.find(TensorRole::kGate, layer);
  w.up.addend = adapter.find(TensorRole::kUp, layer);
  w.down.addend = adapter.find(TensorRole::kDown, layer);
}

// Of all layers, as they are in memory.
std::size_t layer_bytes(const std::vector<LayerWeights>& layers) {
  std::size_t bytes = 0;
  for (const LayerWeights& w : layers) {
    for (const Linear* linear : linears(w)) {
      bytes += matrix_bytes(linear->weight);
      if (linear->addend != nullptr) bytes += addend_bytes(*linear->addend);
    }
    for (const auto* norm :
         {&w.attn_norm, &w.q_norm, &w.k_norm, &w.attn_sub_norm, &w.ffn_norm, &w.ffn_sub_norm}) {
      bytes += norm->size() * sizeof(float);
    }
  }
  return bytes;
}

}  // namespace

Model::Model(std::shared_ptr<const checkpoint::Checkpoint> checkpoint,
             const kernels::KernelTable& table, std::size_t context, ThreadPool& pool,
             const Progress& progress, TernaryLayout layout,
             std::shared_ptr<const checkpoint::LoraAdapter> adapter)
    : checkpoint_(std::move(checkpoint)),
      adapter_(std::move(adapter)),
      table_(&table),
      rope_(checked_context(*checkpoint_, context), arch::rope_frequencies(checkpoint_->config())) {
  const arch::ModelConfig& c = config();
  if (c.head_dim > kernels::kMaxHeadDim) {
    throw Error(ErrorCode::kUnsupported,
                checkpoint_->name() + ": heads of " + std::to_string(c.head_dim) +
                    " numbers found, expected at most " + std::to_string(kernels::kMaxHeadDim));
  }
  embedding_ = checkpoint_->matrix(TensorRole::kEmbedding, 0, pool);
  if (!c.tied_head) head_ = checkpoint_->matrix(TensorRole::kHead, 0, pool);
  slice(head_ ? *head_ : embedding_, pool);
  output_norm_ = checkpoint_->vector(TensorRole::kOutputNorm, 0);
  if (!kernels::table_has_layout(table, layout)) layout = TernaryLayout::kFourPerByte;
  layers_.reserve(c.layers);
  for (std::size_t layer = 0; layer < c.layers; ++layer) {
    layers_.push_back(load_layer(*checkpoint_, layer, layout, pool));
    if (adapter_) set_addends(layers_.back(), *adapter_, layer);
    if (progress) {
      progress("loading", static_cast<double>(layer + 1) / static_cast<double>(c.layers));
    }
  }
}

TernaryLayout Model::layout() const noexcept {
  const auto* first =
      layers_.empty() ? nullptr : std::get_if<TernaryMatrix>(&layers_.front().q.weight);
  return first == nullptr ? TernaryLayout::kFourPerByte : first->layout();
}

std::size_t Model::bytes_per_token() const noexcept {
  return layer_bytes(layers_) + head_bytes_per_token() + output_norm_.size() * sizeof(float);
}

std::size_t Model::head_bytes_per_token() const noexcept {
  const auto* sliced = std::get_if<SlicedMatrix>(&head());
  return sliced != nullptr ? sliced->rows() * sliced->record_bytes() : matrix_bytes(head());
}

std::size_t Model::weight_bytes() const noexcept {
  return layer_bytes(layers_) + matrix_bytes(embedding_) + (head_ ? matrix_bytes(*head_) : 0) +
         output_norm_.size() * sizeof(float);
}

std::size_t Model::ternary_macs_per_token() const noexcept {
  std::size_t macs = 0;
  for (const LayerWeights& w : layers_) {
    for (const Linear* linear : linears(w)) {
      if (std::holds_alternative<TernaryMatrix>(linear->weight)) {
        macs += matrix_rows(linear->weight) * matrix_cols(linear->weight);
      }
    }
  }
  return macs;
}

}  // namespace tern::model
