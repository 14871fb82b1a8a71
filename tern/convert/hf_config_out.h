// config.json and generation_config.json of a folder that convert writes. Internal to tern/convert.
#pragma once

#include <string>
#include <vector>

#include "tern/base/json.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/convert/convert.h"

namespace tern::convert {

// How the linear layers of the folder are stored.
struct HfBody {
  bool packed = false;  // Else full precision, and no quantization_config.
  LinearClass linear_class = LinearClass::kAutoBitLinear;
  std::vector<std::string> not_packed;  // Modules that stay full-precision ones.
  DType dtype = DType::kBF16;           // Of the embedding: torch_dtype.
};

// From an HF source: its own config.json with the storage changed. From a GGUF: written whole.
// Throws Error(kUnsupported) for what a config.json cannot say.
Json config_json(const checkpoint::Checkpoint& in, const HfBody& body);

// The ids that begin and end a text, and the sampling that the authors recommend.
Json generation_json(const checkpoint::Checkpoint& in);

}  // namespace tern::convert
