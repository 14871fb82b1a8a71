// A model's self-check: file, tokenizer, kernels on its own weights, logits, a text.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"

namespace tern::convert {

enum class CheckStatus { kPass, kWarning, kFail, kSkipped };

struct VerifyCheck {
  std::string name;  // "file", "tokenizer", "weights", "kernels", "logits", "text".
  CheckStatus status = CheckStatus::kPass;
  std::string detail;  // What was checked, or the first difference, in a sentence.
};

struct VerifyReport {
  std::vector<VerifyCheck> checks;  // In order; ends with the first that failed.
  bool passed() const noexcept;
};

// Opens `path` and checks, stopping at the first failure:
//   file       the header, every tensor's place, shape and type
//   tokenizer  decode(encode(x)) == x for built-in texts in several languages
//   weights    every tensor can be read: digits valid, scales finite
//   kernels    sample rows of every matrix give the scalar kernels' bits on every instruction set
//              of this CPU, and ternary ones the sums of a plain loop
//   logits     of a short input: finite, and the same bits on every instruction set, as one prompt
//              and token by token
//   text       a built-in text scores better than a uniform guess (a warning for `tern synth`'s)
// What is wrong with the model becomes a failed check, not an exception.
VerifyReport verify(const std::filesystem::path& path, const checkpoint::OpenOptions& options,
                    ThreadPool& pool, const Progress& progress);

}  // namespace tern::convert
