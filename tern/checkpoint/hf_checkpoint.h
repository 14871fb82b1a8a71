// An HF folder: config.json, *.safetensors, tokenizer files, generation_config.json.
#pragma once

#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/hf_config.h"
#include "tern/checkpoint/tensor_table.h"
#include "tern/formats/safetensors.h"

namespace tern::checkpoint {

class HfCheckpoint final : public Checkpoint {
 public:
  HfCheckpoint(const std::filesystem::path& folder, const OpenOptions& options,
               bool with_tokenizer);

  std::string_view format() const noexcept override { return "HF safetensors"; }
  std::vector<TensorInfo> tensors() const override;
  std::vector<float> vector(arch::TensorRole role, std::size_t layer) const override;
  Matrix matrix(arch::TensorRole role, std::size_t layer, ThreadPool& pool,
                TernaryLayout layout) const override;
  std::filesystem::path folder() const override { return folder_; }

 private:
  void decide_tied_head();
  void check_storage(const RoleTensor& tensor) const;
  // Whether it is a linear layer that modules_to_not_convert does not name.
  bool is_converted(const RoleTensor& tensor) const;
  Matrix linear_floats(const RoleTensor& tensor, ThreadPool& pool) const;
  std::vector<float> scales(const RoleTensor& tensor) const;  // Multipliers.
  std::string where(const RoleTensor& tensor) const;          // "FILE: tensor 'NAME'".

  std::filesystem::path folder_;
  HfConfig hf_;
  formats::SafetensorsFolder files_;
  TensorTable table_;
};

}  // namespace tern::checkpoint
