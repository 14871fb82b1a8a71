// Lines in, lines out; and where a log that was broken off is sound again.
#include "tern/train/metrics.h"

#include <string>
#include <string_view>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"

namespace tern::train {
namespace {

// Bytes of `file` up to the first line of a later step, or that has no end.
std::uint64_t sound_bytes(const std::filesystem::path& file, std::uint64_t step) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) return 0;  // New, or a device.
  const std::string text = read_text_file(file, std::uint64_t{1} << 34);
  std::size_t begin = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) return begin;
    const std::string what = file.string() + ": line " + std::to_string(number);
    const Json line = parse_json(std::string_view(text).substr(begin, end - begin), what);
    const auto of = line.is_object() ? json_uint(line, "step", what) : std::nullopt;
    if (!of) {
      throw Error(ErrorCode::kCorruptFile,
                  what + ": no step found, expected a line of a run's log");
    }
    if (*of > step) return begin;
    begin = end + 1;
  }
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& file, std::uint64_t step)
    : file_(file, sound_bytes(file, step)) {}

void MetricsLog::append(const Json& line) {
  // `kind` first, the rest by name.
  Json rest = line;
  std::string text = "{\"kind\":" + dump_json(line.at("kind"));
  rest.erase("kind");
  if (!rest.empty()) text += "," + dump_json(rest).substr(1);
  if (rest.empty()) text += "}";
  file_.append(text + "\n");
}

}  // namespace tern::train
