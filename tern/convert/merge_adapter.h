// A base model and its adapter as one model that has no adapter: W + scale * B A, in floats.
#pragma once

#include <memory>
#include <optional>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/lora_adapter.h"
#include "tern/tensor/dtype.h"

namespace tern::convert {

// The merged model, to be converted; `base` and `adapter` outlive it. Each element is computed in
// double precision and rounded once: to `type` (F32, F16, BF16 or Q8_0, as ConvertOptions has it)
// when it is written, or without one to the base matrix's own type, F16 where that holds no plain
// floats. A base with ternary layers becomes a model in full precision, the layers without an
// adapter too: digits cannot hold the sum, and int8 activations belong to digits; `notice` says so.
// Throws Error(kBadArgument) for another type, and whatever `base` throws.
std::unique_ptr<const checkpoint::Checkpoint> merge_adapter(const checkpoint::Checkpoint& base,
                                                            const checkpoint::LoraAdapter& adapter,
                                                            std::optional<DType> type,
                                                            ThreadPool& pool, const Notice& notice);

}  // namespace tern::convert
