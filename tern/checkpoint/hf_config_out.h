// A model's config as Hugging Face's config.json and generation_config.json: the counterpart of
// hf_config.h.
#pragma once

#include <string_view>

#include "tern/arch/model_config.h"
#include "tern/base/json.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// The fields that transformers and tern read, without those of the storage (torch_dtype,
// quantization_config). `tokenizer` may be null; it gives the ids of BOS, EOS and padding. `what`
// names the model in errors: throws Error(kUnsupported) for what a config.json cannot say (biases
// in some attention products only; rope factors without the rule, config.rope_llama3, that makes
// them).
Json hf_config(const arch::ModelConfig& config, const tokenizer::TokenizerData* tokenizer,
               std::string_view what);

// The ids that begin, end and pad a text; an empty object for a null `tokenizer`.
Json hf_generation_config(const tokenizer::TokenizerData* tokenizer);

}  // namespace tern::checkpoint
