// Which layers have adapters, and that nothing else moves.
#include "tern/train/lora.h"

#include <algorithm>
#include <cstring>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;

// The bytes of `tensor` eight at a time; what is left over counts as one more.
std::uint64_t hash_of(const Tensor& tensor, std::uint64_t hash) {
  const Tensor whole = tensor.detach().contiguous();
  const auto* bytes = static_cast<const char*>(whole.data_ptr());
  const std::size_t count = whole.nbytes();
  for (std::size_t i = 0; i < count; i += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, std::min(sizeof word, count - i));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

void check_adapters(const TrainConfig& config) {
  const char* key = config.start.sub_norms                    ? "start.sub_norms"
                    : config.start.random                     ? "start.random"
                    : config.warmup.kind != WarmupKind::kNone ? "quantization.warmup"
                                                              : nullptr;
  if (config.lora.rank == 0 || key == nullptr) return;
  throw Error(ErrorCode::kBadArgument,
              std::string(key) +
                  " found beside lora.rank, expected a base that stays as it is, because a "
                  "checkpoint holds the adapters alone");
}

void add_adapters(Transformer& model, const LoraConfig& lora) {
  for (Tensor& parameter : model->parameters()) parameter.requires_grad_(false);
  const auto rank = static_cast<std::int64_t>(lora.rank);
  for (auto& [name, layer] : model->bit_linears()) {
    const std::string last = name.substr(name.rfind('.') + 1);
    if (std::ranges::find(lora.targets, last) == lora.targets.end()) continue;
    layer->add_adapter(rank, lora.alpha / static_cast<double>(rank));
  }
}

bool is_adapter_parameter(std::string_view name) noexcept {
  return name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
}

bool has_adapters(Transformer& model) {
  return std::ranges::any_of(model->named_parameters(),
                             [](const auto& p) { return is_adapter_parameter(p.key()); });
}

std::string peft_name(const std::string& parameter) { return "base_model.model." + parameter; }

std::uint64_t weights_hash(Transformer& model) {
  std::uint64_t hash = 1;
  for (const auto& p : model->named_parameters()) {
    if (!is_adapter_parameter(p.key())) hash = hash_of(p.value(), hash);
  }
  return std::max<std::uint64_t>(hash, 1);
}

}  // namespace tern::train
