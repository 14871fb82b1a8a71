// What a run writes down while it goes: metrics.jsonl for programs, TensorBoard events for eyes.
//
// metrics.jsonl has one JSON object per line, `kind` first telling which:
//   {"kind":"step","step":n,"tokens":n,"loss":nats,"learning_rate":x,"weight_decay":x,"grad_norm":x,
//    "tokens_per_second":x,"seconds":x,"skipped":bool}
//   {"kind":"held_out","step":n,"tokens":n,"loss":nats per token,"bits_per_byte":x,"scored":tokens}
//   {"kind":"weights","step":n,"layers":[{"name":"model.layers.0.self_attn.q_proj","minus":x,
//    "zero":x,"plus":x,"flipped":x}, ...]}   (flipped: share of digits changed since the last such line)
//   {"kind":"sample","step":n,"prompt":"...","text":"..."}
// step counts finished steps. Doubles are written so that they read back exactly.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tern/base/json.h"

namespace tern::train {

// Appends to metrics.jsonl, each line whole at once. Opened for a run that goes on from `step`,
// it first drops every line of a later step, and a last line that was cut off, so that a resumed
// run leaves the same file as one that was never stopped. Throws Error(kIo), also on a full disk.
class MetricsLog {
 public:
  MetricsLog(const std::filesystem::path& file, std::uint64_t step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void append(const Json& line);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

// TensorBoard's event file: records of length (u64), masked CRC-32C of it, a serialised
// tensorflow.Event, masked CRC-32C of that. One file per start of a run, in `folder`, named
// events.out.tfevents.<seconds>.<host>.<pid>, as TensorBoard looks for. Scalars and texts.
class EventFile {
 public:
  explicit EventFile(const std::filesystem::path& folder);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  void scalar(std::string_view tag, std::uint64_t step, double value);
  void text(std::string_view tag, std::uint64_t step, std::string_view value);
  void flush();  // Throws Error(kIo).

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::train
