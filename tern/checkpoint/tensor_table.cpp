// Looks the architecture's list up in the file, then the file's in what was found.
#include "tern/checkpoint/tensor_table.h"

#include <set>

#include "tern/base/error.h"

namespace tern::checkpoint {

using arch::TensorRole;
using arch::TensorSpec;

TensorTable::TensorTable(const TableRules& rules, const arch::ModelConfig& config) {
  const arch::Architecture& a = arch::architecture(config.arch);
  for (const TensorSpec& spec : a.tensors) {
    if (!spec.per_layer()) add(rules, config, spec, 0);
  }
  // A file with too few tensors for its number of layers ends this loop early, by a missing one.
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (const TensorSpec& spec : a.tensors) {
      if (spec.per_layer()) add(rules, config, spec, layer);
    }
  }
  std::set<const TensorView*> used;
  for (const RoleTensor& t : tensors_) {
    used.insert(t.weight);
    if (t.scale != nullptr) used.insert(t.scale);
  }
  for (const TensorView* tensor : rules.all) {
    if (used.contains(tensor) || rules.ignorable(tensor->name)) continue;
    throw Error(ErrorCode::kUnsupported,
                std::string(rules.file) + ": unknown tensor '" + tensor->name + "' of shape " +
                    shape_text(tensor->shape) + " found; a model of architecture " +
                    std::string(a.gguf_names.front()) + " with " + std::to_string(config.layers) +
                    " layers and this config has none of that name");
  }
}

void TensorTable::add(const TableRules& rules, const arch::ModelConfig& config,
                      const TensorSpec& spec, std::size_t layer) {
  const std::string_view pattern = spec.*rules.pattern;
  if (pattern.empty()) return;
  const bool must = needed(spec, config);
  if (!must && spec.role != TensorRole::kRopeFactors) return;
  const std::string name = arch::tensor_name(pattern, layer);
  const TensorView* weight = rules.lookup(name);
  const std::vector<std::uint64_t> logical = arch::tensor_shape(spec.shape, config);
  if (weight == nullptr) {
    if (!must) return;
    throw Error(ErrorCode::kCorruptFile, std::string(rules.file) + ": tensor '" + name +
                                             "' is missing, expected with shape " +
                                             shape_text(logical));
  }
  const std::vector<std::uint64_t> expected = rules.stored_shape(*weight, logical);
  if (weight->shape != expected) {
    throw Error(ErrorCode::kCorruptFile, std::string(rules.file) + ": tensor '" + name +
                                             "' has shape " + shape_text(weight->shape) +
                                             ", expected " + shape_text(expected));
  }
  const std::string scale = rules.scale_name(spec, name);
  index_[{spec.role, layer}] = tensors_.size();
  tensors_.push_back({&spec, layer, weight, scale.empty() ? nullptr : rules.lookup(scale)});
}

const RoleTensor* TensorTable::find(TensorRole role, std::size_t layer) const noexcept {
  const auto it = index_.find({role, layer});
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace tern::checkpoint
