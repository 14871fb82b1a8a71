// The list of architectures, and questions asked of it.
#include "tern/arch/architecture.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "tern/arch/tensor_lists.h"

namespace tern::arch {
namespace {

bool contains(std::span<const std::string_view> list, std::string_view name) noexcept {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// A new architecture: its file, and its row here.
constexpr std::array kArchitectures{&kBitnetB158, &kBitnet, &kLlama, &kQwen3};

}  // namespace

std::span<const Architecture* const> all_architectures() noexcept { return kArchitectures; }

const Architecture& architecture(ArchitectureId id) noexcept {
  const auto* found = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                   [&](const Architecture* a) { return a->id == id; });
  assert(found != kArchitectures.end());
  return **found;
}

const Architecture* architecture_by_gguf_name(std::string_view name) noexcept {
  for (const Architecture* a : kArchitectures) {
    if (contains(a->gguf_names, name)) return a;
  }
  return nullptr;
}

const Architecture* architecture_by_hf(std::string_view hf_class,
                                       std::string_view model_type) noexcept {
  for (const Architecture* a : kArchitectures) {
    const bool type_fits = contains(a->hf_model_types, model_type);
    if (hf_class.empty() ? type_fits && !a->hf_only_by_class
                         : contains(a->hf_classes, hf_class) && (model_type.empty() || type_fits)) {
      return a;
    }
  }
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture* a : kArchitectures) {
    for (const std::string_view name : a->gguf_names) {
      names += names.empty() ? "" : ", ";
      names += name;
    }
  }
  return names;
}

const TensorSpec* find_spec(const Architecture& architecture, TensorRole role) noexcept {
  for (const TensorSpec& spec : architecture.tensors) {
    if (spec.role == role) return &spec;
  }
  return nullptr;
}

std::string tensor_name(std::string_view pattern, std::size_t layer) {
  const std::size_t at = pattern.find("{}");
  if (at == std::string_view::npos) return std::string(pattern);
  return std::string(pattern.substr(0, at)) + std::to_string(layer) +
         std::string(pattern.substr(at + 2));
}

std::vector<std::uint64_t> tensor_shape(TensorShape shape, const ModelConfig& c) {
  switch (shape) {
    case TensorShape::kVocabByHidden:
      return {c.vocab, c.hidden};
    case TensorShape::kHidden:
      return {c.hidden};
    case TensorShape::kHeadDim:
      return {c.head_dim};
    case TensorShape::kHalfHeadDim:
      return {c.head_dim / 2};
    case TensorShape::kQByHidden:
      return {c.q_width(), c.hidden};
    case TensorShape::kKvByHidden:
      return {c.kv_width(), c.hidden};
    case TensorShape::kHiddenByQ:
      return {c.hidden, c.q_width()};
    case TensorShape::kFfnByHidden:
      return {c.ffn, c.hidden};
    case TensorShape::kHiddenByFfn:
      return {c.hidden, c.ffn};
    case TensorShape::kQ:
      return {c.q_width()};
    case TensorShape::kKv:
      return {c.kv_width()};
    case TensorShape::kFfn:
      return {c.ffn};
  }
  return {};
}

bool needed(const TensorSpec& spec, const ModelConfig& config) noexcept {
  switch (spec.role) {
    case TensorRole::kHead:
      return !config.tied_head;
    case TensorRole::kRopeFactors:
      return false;
    case TensorRole::kQBias:
    case TensorRole::kKBias:
    case TensorRole::kVBias:
      return config.qkv_bias;
    case TensorRole::kOBias:
      return config.o_bias;
    case TensorRole::kGateBias:
    case TensorRole::kUpBias:
    case TensorRole::kDownBias:
      return config.mlp_bias;
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
      return config.qk_norm;
    case TensorRole::kAttnSubNorm:
    case TensorRole::kFfnSubNorm:
      return config.sub_norms;
    default:
      return true;
  }
}

}  // namespace tern::arch
