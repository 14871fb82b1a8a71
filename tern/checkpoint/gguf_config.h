// Metadata of a GGUF file -> ModelConfig.
#pragma once

#include <string_view>

#include "tern/arch/model_config.h"
#include "tern/base/notice.h"
#include "tern/formats/gguf.h"

namespace tern::checkpoint {

// tern's own key, a string: "token" (the linear layers are b1.58: activations are quantised over
// whole rows, where the weights' group scales alone would say otherwise) or "float" (they are
// floats and nothing is quantised, whatever the architecture's name).
inline constexpr std::string_view kActivationsKey = "tern.activations";

// Reads and validates. What has no key is told by the tensors (biases, a tied head, RoPE factors)
// or by the architecture's row in arch/ (the gate activation). Keys that change the function and
// are not understood are refused; other unknown keys of the architecture are told to `notice`.
// Throws Error naming file, key, found and expected.
arch::ModelConfig read_gguf_config(const formats::GgufFile& file, const Notice& notice);

}  // namespace tern::checkpoint
