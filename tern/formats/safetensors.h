// Safetensors, single and sharded: bytes <-> named TensorViews, without copies
// (docs/formats/safetensors.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/mapped_file.h"
#include "tern/tensor/tensor_view.h"

namespace tern::formats {

// The header of one file, checked whole: its length, every dtype, shape and extent, no overlap, no
// gap that the format forbids. Throws Error(kCorruptFile / kUnsupported). Views live as long as
// this object.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  SafetensorsFile(std::span<const std::byte> bytes, std::string name);  // The caller keeps bytes.

  const std::string& name() const noexcept { return name_; }
  std::span<const TensorView> tensors() const noexcept { return tensors_; }  // Sorted by name.
  const TensorView* tensor(std::string_view name) const noexcept;
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

 private:
  void parse(std::span<const std::byte> bytes);

  std::string name_;
  std::vector<MappedFile> file_;  // One, or none where the caller keeps the bytes.
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// All tensors of an HF folder: model.safetensors, or the shards that model.safetensors.index.json
// names (a shard outside the folder, a tensor in another shard than the index says, or in two, is
// refused); a folder with one *.safetensors of another name is read too.
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::filesystem::path& folder);
  const TensorView* tensor(std::string_view name) const noexcept;
  std::vector<const TensorView*> tensors() const;  // Sorted by name.
  // The file that holds a tensor, for messages.
  std::string file_of(std::string_view tensor) const;

 private:
  std::vector<SafetensorsFile> files_;
};

// Collects descriptions, then streams one file; as GgufWriter. Tensors are laid out in the order in
// which they were added.
class SafetensorsWriter {
 public:
  void set_metadata(std::string key, std::string value);
  void add_tensor(std::string name, DType type, std::vector<std::uint64_t> shape,
                  std::function<std::vector<std::byte>()> make);
  void write(const std::filesystem::path& path) const;  // Temporary name, then rename.

 private:
  struct Tensor {
    std::string name;
    DType type;
    std::vector<std::uint64_t> shape;
    std::function<std::vector<std::byte>()> make;
  };
  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace tern::formats
