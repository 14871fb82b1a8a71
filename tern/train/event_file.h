// TensorBoard's event file: scalars and texts of a run, for eyes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "tern/base/append_file.h"

namespace tern::train {

// Records of length (u64), masked CRC-32C of it, a serialised tensorflow.Event, masked CRC-32C of
// that. One file per start of a run, in `folder`, named
// events.out.tfevents.<seconds>.<host>.<pid>, as TensorBoard looks for; it joins them. A start that
// goes on from `step` makes it forget what earlier files have of later steps. Records are kept
// until flush(); the destructor flushes too, as far as that goes. Throws Error(kIo).
class EventFile {
 public:
  explicit EventFile(const std::filesystem::path& folder, std::uint64_t step = 0);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  const std::filesystem::path& path() const noexcept { return file_.path(); }
  void scalar(std::string_view tag, std::uint64_t step, double value);
  void text(std::string_view tag, std::uint64_t step, std::string_view value);
  void flush();

 private:
  void record(std::string_view event);

  AppendFile file_;
  std::string pending_;
};

// CRC-32C (Castagnoli, reflected), as in iSCSI; and the form in which event files store it.
std::uint32_t crc32c(std::string_view bytes) noexcept;
std::uint32_t masked_crc32c(std::string_view bytes) noexcept;

}  // namespace tern::train
