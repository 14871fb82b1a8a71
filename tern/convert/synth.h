// A model of a known shape with random ternary weights, to measure with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/tensor/dtype.h"

namespace tern::convert {

struct SynthOptions {
  // TQ1_0, TQ2_0, I2_S, IQ2_BN, or F16, BF16, F32 holding -s, 0, +s.
  DType type = DType::kTQ2_0;
  DType embedding_type = DType::kQ6_K;  // Or Q8_0, Q4_0, F16, BF16, F32; of the head as well.
  std::uint64_t seed = 0;
};

// What `general.name` of a synthetic model begins with.
inline constexpr std::string_view kSynthName = "synth-";

// Writes a GGUF of the shape called `shape` (arch::named_shape): digits about uniform over -1, 0,
// +1, scales that keep every layer's output near 1 and that all types hold exactly, a byte-level
// vocabulary of the 256 bytes, BOS, EOS and numbered words, without merges. The same bytes for the
// same arguments, whatever the threads. A matrix whose row does not fit the type is written as
// convert() does, with a notice. Throws Error(kBadArgument) for an unknown shape or type.
void synth(std::string_view shape, const std::filesystem::path& out, const SynthOptions& options,
           ThreadPool& pool, const Notice& notice, const Progress& progress);

}  // namespace tern::convert
