// A GGUF file with a model in it.
#pragma once

#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/tensor_table.h"

namespace tern::checkpoint {

class GgufCheckpoint final : public Checkpoint {
 public:
  GgufCheckpoint(const std::filesystem::path& path, const OpenOptions& options,
                 bool with_tokenizer);

  std::string_view format() const noexcept override {
    return file_.version() == 2 ? "GGUF v2" : "GGUF v3";
  }
  std::vector<TensorInfo> tensors() const override;
  std::vector<float> vector(arch::TensorRole role, std::size_t layer) const override;
  Matrix matrix(arch::TensorRole role, std::size_t layer, ThreadPool& pool,
                TernaryLayout layout) const override;
  const formats::GgufFile* gguf() const noexcept override { return &file_; }

 private:
  void check_storage(const RoleTensor& tensor) const;
  bool interleaved(arch::TensorRole role) const noexcept;  // Rows stand in GGUF's own order.
  Matrix load(const RoleTensor& tensor, ThreadPool& pool, TernaryLayout layout) const;

  formats::GgufFile file_;
  const arch::Architecture* arch_ = nullptr;
  TensorTable table_;
};

}  // namespace tern::checkpoint
