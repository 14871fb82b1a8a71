// The metadata of a GGUF that describes a model and its tokenizer. Internal to tern/convert.
#pragma once

#include <cstdint>
#include <string_view>

#include "tern/arch/model_config.h"
#include "tern/base/notice.h"
#include "tern/formats/gguf.h"
#include "tern/tensor/dtype.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::convert {

// general.file_type of a body stored as `type`.
std::uint32_t gguf_file_type(DType type) noexcept;

// general.architecture, name, file_type and quantization_version, and every key of the
// architecture.
void set_model_keys(formats::GgufWriter& out, const arch::ModelConfig& config, DType body,
                    std::string_view name);

// tokenizer.ggml.*: `vocab` pieces, padded with unused "[PADn]" where the tokenizer has fewer.
// Throws Error(kUnsupported) for a tokenizer that GGUF has no name for; `notice` tells what GGUF
// cannot say.
void set_tokenizer_keys(formats::GgufWriter& out, const tokenizer::TokenizerData& data,
                        std::size_t vocab, const Notice& notice);

}  // namespace tern::convert
