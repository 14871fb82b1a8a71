// The tensors of a file, found by role: every one that the architecture needs is there with the
// right shape, and every one that is there is known.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/tensor/tensor_view.h"

namespace tern::checkpoint {

struct RoleTensor {
  const arch::TensorSpec* spec = nullptr;
  std::size_t layer = 0;
  const TensorView* weight = nullptr;
  const TensorView* scale = nullptr;  // ".weight_scale" (HF) or ".scale" (GGUF) beside it.
};

// What differs between the file formats.
struct TableRules {
  std::string_view file;                         // For messages.
  std::string_view arch::TensorSpec::* pattern;  // &TensorSpec::hf or &TensorSpec::gguf.
  std::function<const TensorView*(std::string_view name)> lookup;
  std::vector<const TensorView*> all;  // Every tensor of the file.
  // The name of the scale beside a weight; empty where it can have none.
  std::function<std::string(const arch::TensorSpec& spec, const std::string& weight)> scale_name;
  // The shape that the weight should have in the file, from that of the architecture.
  std::function<std::vector<std::uint64_t>(const TensorView& weight,
                                           std::vector<std::uint64_t> shape)>
      stored_shape;
  std::function<bool(std::string_view name)> ignorable;  // Known to be of no use.
};

class TensorTable {
 public:
  TensorTable() = default;
  // Throws Error(kCorruptFile / kUnsupported) naming file, tensor, found and expected.
  TensorTable(const TableRules& rules, const arch::ModelConfig& config);

  const RoleTensor* find(arch::TensorRole role, std::size_t layer) const noexcept;
  const std::vector<RoleTensor>& all() const noexcept { return tensors_; }

 private:
  void add(const TableRules& rules, const arch::ModelConfig& config, const arch::TensorSpec& spec,
           std::size_t layer);

  std::vector<RoleTensor> tensors_;  // Layer by layer, those of no layer first.
  std::map<std::pair<arch::TensorRole, std::size_t>, std::size_t> index_;
};

}  // namespace tern::checkpoint
