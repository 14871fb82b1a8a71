// Metadata of a GGUF file -> ModelConfig.
#pragma once

#include "tern/arch/model_config.h"
#include "tern/base/notice.h"
#include "tern/formats/gguf.h"

namespace tern::checkpoint {

// Reads and validates. What has no key is told by the tensors (biases, a tied head, RoPE factors)
// or by the architecture's row in arch/ (the gate activation). Keys that change the function and
// are not understood are refused; other unknown keys of the architecture are told to `notice`.
// Throws Error naming file, key, found and expected.
arch::ModelConfig read_gguf_config(const formats::GgufFile& file, const Notice& notice);

}  // namespace tern::checkpoint
