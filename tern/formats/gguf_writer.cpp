// GGUF v3 out: header first, then one tensor after another.
#include <cstring>
#include <set>
#include <utility>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/formats/gguf.h"
#include "tern/formats/gguf_types.h"

namespace tern::formats {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
void put(Bytes& out, T value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof(T));
  std::memcpy(out.data() + at, &value, sizeof(T));
}

void put_bytes(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void put_string(Bytes& out, std::string_view text) {
  put(out, static_cast<std::uint64_t>(text.size()));
  put_bytes(out, std::as_bytes(std::span(text)));
}

void put_type(Bytes& out, GgufType type) { put(out, static_cast<std::uint32_t>(type)); }

template <typename T>
Bytes scalar(GgufType type, T value) {
  Bytes out;
  put_type(out, type);
  put(out, value);
  return out;
}

Bytes array_head(GgufType element, std::uint64_t count) {
  Bytes out;
  put_type(out, GgufType::kArray);
  put_type(out, element);
  put(out, count);
  return out;
}

template <typename T>
Bytes numbers(GgufType element, std::span<const T> values) {
  Bytes out = array_head(element, values.size());
  put_bytes(out, std::as_bytes(values));
  return out;
}

std::uint64_t padded(std::uint64_t n) {
  return (n + kGgufDefaultAlignment - 1) / kGgufDefaultAlignment * kGgufDefaultAlignment;
}

// Bytes of a tensor that is about to be described. Throws where its shape and type disagree.
std::uint64_t checked_bytes(const std::string& name, DType type,
                            const std::vector<std::uint64_t>& shape) {
  const TensorView view{name, type, shape, {}};
  std::uint64_t elements = 1;
  bool fits = shape.size() <= kGgufMaxDims && gguf_id_of_dtype(type).has_value();
  for (const std::uint64_t n : shape) {
    fits = fits && n != 0 && !__builtin_mul_overflow(elements, n, &elements);
  }
  const auto bytes = fits ? dtype_bytes(type, view.rows(), view.cols()) : std::nullopt;
  if (!bytes) {
    throw Error(ErrorCode::kBadArgument, "tensor " + quote_name(name) + " of shape " +
                                             shape_text(shape) + " cannot be written to GGUF as " +
                                             std::string(dtype_name(type)));
  }
  return *bytes;
}

}  // namespace

void GgufWriter::set(std::string key, std::vector<std::byte> bytes) {
  if (key == "general.alignment") return;  // The writer's own affair: it aligns to the default.
  entries_.push_back({std::move(key), std::move(bytes)});
}

void GgufWriter::set_uint32(std::string key, std::uint32_t value) {
  set(std::move(key), scalar(GgufType::kU32, value));
}

void GgufWriter::set_float32(std::string key, float value) {
  set(std::move(key), scalar(GgufType::kF32, value));
}

void GgufWriter::set_bool(std::string key, bool value) {
  set(std::move(key), scalar(GgufType::kBool, static_cast<std::uint8_t>(value ? 1 : 0)));
}

void GgufWriter::set_string(std::string key, std::string_view value) {
  Bytes out;
  put_type(out, GgufType::kString);
  put_string(out, value);
  set(std::move(key), std::move(out));
}

void GgufWriter::set_strings(std::string key, std::span<const std::string> values) {
  Bytes out = array_head(GgufType::kString, values.size());
  for (const std::string& value : values) put_string(out, value);
  set(std::move(key), std::move(out));
}

void GgufWriter::set_floats(std::string key, std::span<const float> values) {
  set(std::move(key), numbers(GgufType::kF32, values));
}

void GgufWriter::set_int32s(std::string key, std::span<const std::int32_t> values) {
  set(std::move(key), numbers(GgufType::kI32, values));
}

void GgufWriter::set_raw(std::string key, const GgufValue& value) {
  Bytes out;
  if (value.type == GgufType::kArray) {
    out = array_head(value.element, value.count);
  } else {
    put_type(out, value.type);
  }
  put_bytes(out, value.raw);
  set(std::move(key), std::move(out));
}

bool GgufWriter::has(std::string_view key) const noexcept {
  for (const Entry& entry : entries_) {
    if (entry.key == key) return true;
  }
  return false;
}

void GgufWriter::add_tensor(std::string name, DType type, std::vector<std::uint64_t> shape,
                            std::function<std::vector<std::byte>()> make) {
  checked_bytes(name, type, shape);
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(make)});
}

void GgufWriter::write(const std::filesystem::path& path) const {
  Bytes head;
  put_bytes(head, std::as_bytes(std::span("GGUF", 4)));
  put(head, std::uint32_t{3});
  put(head, static_cast<std::uint64_t>(tensors_.size()));
  put(head, static_cast<std::uint64_t>(entries_.size()));
  std::set<std::string_view> seen;
  for (const Entry& entry : entries_) {
    if (!seen.insert(entry.key).second) {
      throw Error(ErrorCode::kBadArgument,
                  "metadata key " + quote_name(entry.key) + " is given twice");
    }
    put_string(head, entry.key);
    put_bytes(head, entry.bytes);
  }
  seen.clear();
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    if (!seen.insert(tensor.name).second) {
      throw Error(ErrorCode::kBadArgument, "tensor " + quote_name(tensor.name) + " is given twice");
    }
    put_string(head, tensor.name);
    put(head, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i > 0; --i) put(head, tensor.shape[i - 1]);
    put(head, *gguf_id_of_dtype(tensor.type));
    put(head, offset);
    offset += padded(checked_bytes(tensor.name, tensor.type, tensor.shape));
  }
  head.resize(padded(head.size()));

  AtomicFile file(path);
  file.write(head);
  constexpr std::byte kZeros[kGgufDefaultAlignment] = {};
  for (const Tensor& tensor : tensors_) {
    const Bytes bytes = tensor.make();
    const std::uint64_t expected = checked_bytes(tensor.name, tensor.type, tensor.shape);
    if (bytes.size() != expected) {
      throw Error(ErrorCode::kBadArgument, "tensor " + quote_name(tensor.name) + " was given " +
                                               std::to_string(bytes.size()) + " bytes, expected " +
                                               std::to_string(expected));
    }
    file.write(bytes);
    file.write(std::span(kZeros).first(static_cast<std::size_t>(padded(expected) - expected)));
  }
  file.commit();
}

}  // namespace tern::formats
