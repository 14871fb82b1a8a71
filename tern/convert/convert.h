// Any readable model -> GGUF or a Hugging Face folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/tensor/dtype.h"

namespace tern::convert {

// What a packed HF folder's weight_scale means: a multiplier (kAuto) or a divisor (kBit).
enum class LinearClass { kAutoBitLinear, kBitLinear };

struct ConvertOptions {
  // Of the body's linear layers, GGUF only. Ternary matrices: TQ1_0, TQ2_0, I2_S, IQ2_BN,
  // Q2_0 of 64 or 128, or F16, BF16, F32 holding exactly -s, 0, +s; default TQ2_0, and Q2_0 where
  // groups are narrower than its blocks. Full-precision matrices: F32, F16, BF16,
  // Q8_0; default as they are.
  std::optional<DType> type;
  // Of embedding and head: F16, BF16, F32, Q8_0 or Q6_K. Default: F16 where it holds every value,
  // else as they are; ternary ones stay ternary in the body's type.
  std::optional<DType> embedding_type;
  std::optional<LinearClass> linear_class;  // HF only; by default the architecture's usual one.
  std::string name;  // GGUF only: general.name; empty: the one that IN has, else IN's file name.
};

// Writes `in` to `out`: a GGUF where the name ends in ".gguf", else an HF folder, which must not
// exist or be empty. Streams: one tensor in memory at a time. Ternary digits stay as they are; a
// scale changes only where the type cannot hold it, and `notice` says so. Throws Error, and then
// leaves nothing behind: for OUT that is IN, a type that cannot hold the model, a disk that is
// full.
void convert(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
             const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
             const Progress& progress);

}  // namespace tern::convert
