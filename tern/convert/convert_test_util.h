// Tiny models as Hugging Face folders, byte by byte, without tern's own encoders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tern/checkpoint/checkpoint.h"
#include "tern/tensor/dtype.h"

namespace tern::convert {

enum class Kind { k2B4TPacked, k2B4TLatent, kLlamaPacked, k1BitLlm, kLlamaFull, kQwen3Packed };

struct TinyShape {
  std::size_t hidden = 256, ffn = 512, layers = 2, heads = 4, kv_heads = 2, vocab = 264;
  float embedding_width = 0.05f;
  bool row_scales = false;  // Packed: one weight_scale per row.
  bool llama3_rope = false;
};

// What the folder holds: name -> stored type, shape and bytes.
struct StoredTensor {
  DType type = DType::kF32;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
  bool operator==(const StoredTensor&) const = default;
};
using Stored = std::map<std::string, StoredTensor>;

// Writes config.json, model.safetensors, tokenizer.json and tokenizer_config.json.
Stored make_folder(const std::filesystem::path& folder, Kind kind, const TinyShape& shape = {});

// What a folder holds now.
Stored read_stored(const std::filesystem::path& folder);

// An empty folder of the test, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::size_t entries() const;  // Files and folders directly in it.

 private:
  std::filesystem::path path_;
};

// The first difference between two models' numbers (bit by bit), or "".
std::string difference(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace tern::convert
