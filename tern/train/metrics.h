// What a run writes down for programs while it goes: metrics.jsonl. Eyes have event_file.h.
//
// metrics.jsonl has one JSON object per line, `kind` first telling which:
//   {"kind":"step","step":n,"tokens":n,"loss":nats,"learning_rate":x,"weight_decay":x,"grad_norm":x,
//    "tokens_per_second":x,"seconds":x,"skipped":bool}
//   {"kind":"held_out","step":n,"tokens":n,"loss":nats per token,"bits_per_byte":x,"scored":tokens}
//   {"kind":"weights","step":n,"layers":[{"name":"model.layers.0.self_attn.q_proj","minus":x,
//    "zero":x,"plus":x,"flipped":x}, ...]}   (flipped: share of digits changed since the last such
//    line)
//   {"kind":"sample","step":n,"prompt":"...","text":"..."}
//   {"kind":"final","step":n,"tokens":n,"loss":x,"bits_per_byte":x,"scored":tokens,"skipped":n}
//    (at the end, over all held-out text)
// step counts finished steps. Doubles are written so that they read back exactly; one that is not
// finite is null.
#pragma once

#include <cstdint>
#include <filesystem>

#include "tern/base/append_file.h"
#include "tern/base/json.h"
#include "tern/train/event_file.h"

namespace tern::train {

// Appends to metrics.jsonl, each line whole at once. Opened for a run that goes on from `step`,
// it first drops every line of a later step, and a last line that was cut off, so that a resumed
// run leaves the same file as one that was never stopped; for that, a step's lines are to be
// written before its checkpoint. Throws Error(kIo), also on a full disk, and Error(kCorruptFile)
// for a file that is no such log, naming the line.
class MetricsLog {
 public:
  MetricsLog(const std::filesystem::path& file, std::uint64_t step);
  void append(const Json& line);  // An object with `kind` and `step`.
  void sync() { file_.sync(); }   // Before the checkpoint that counts on these lines.

 private:
  AppendFile file_;
};

}  // namespace tern::train
