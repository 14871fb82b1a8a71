// Protocol buffers in TFRecord framing.
#include "tern/train/event_file.h"

#include <array>
#include <chrono>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/utf8.h"
#include "tern/train/tensorboard_event.pb.h"

namespace tern::train {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table() noexcept {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = crc_table();

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::filesystem::path name_in(const std::filesystem::path& folder) {
  return folder / ("events.out.tfevents." + std::to_string(static_cast<std::uint64_t>(now())) +
                   "." + host_name() + "." + std::to_string(process_id()));
}

template <typename Integer>
void put_little_endian(std::string& out, Integer value) {
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    out += static_cast<char>(value >> (8 * i) & 0xff);
  }
}

events::Event event_at(std::uint64_t step) {
  events::Event event;
  event.set_wall_time(now());
  event.set_step(static_cast<std::int64_t>(step));
  return event;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t c = 0xffffffffu;
  for (const char byte : bytes) {
    c = kCrcTable[(c ^ static_cast<unsigned char>(byte)) & 0xff] ^ (c >> 8);
  }
  return c ^ 0xffffffffu;
}

std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  const std::uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

EventFile::EventFile(const std::filesystem::path& folder, std::uint64_t step)
    : file_(name_in(folder)) {
  events::Event first;
  first.set_wall_time(now());
  first.set_file_version("brain.Event:2");
  record(first.SerializeAsString());
  if (step > 0) {
    events::Event restart = event_at(step + 1);
    restart.mutable_session_log()->set_status(events::SessionLog::START);
    record(restart.SerializeAsString());
  }
  flush();
}

EventFile::~EventFile() {
  try {
    flush();
  } catch (const Error&) {
    // Whoever must know has called flush().
  }
}

void EventFile::record(std::string_view event) {
  std::string length;
  put_little_endian(length, static_cast<std::uint64_t>(event.size()));
  pending_ += length;
  put_little_endian(pending_, masked_crc32c(length));
  pending_ += event;
  put_little_endian(pending_, masked_crc32c(event));
}

void EventFile::scalar(std::string_view tag, std::uint64_t step, double value) {
  events::Event event = event_at(step);
  events::Summary::Value* entry = event.mutable_summary()->add_value();
  entry->set_tag(valid_utf8(tag));
  entry->set_simple_value(static_cast<float>(value));
  record(event.SerializeAsString());
}

void EventFile::text(std::string_view tag, std::uint64_t step, std::string_view value) {
  events::Event event = event_at(step);
  events::Summary::Value* entry = event.mutable_summary()->add_value();
  entry->set_tag(valid_utf8(tag));
  entry->mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  events::Tensor* tensor = entry->mutable_tensor();
  tensor->set_dtype(events::Tensor::STRING);
  tensor->mutable_tensor_shape()->add_dim()->set_size(1);
  tensor->add_string_val(valid_utf8(value));
  record(event.SerializeAsString());
}

void EventFile::flush() {
  if (pending_.empty()) return;
  // Dropped before the write: what failed once would fail again in the destructor.
  const std::string bytes = std::exchange(pending_, {});
  file_.append(bytes);
}

}  // namespace tern::train
