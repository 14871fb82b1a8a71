// The header of a GGUF file, with every number compared with what is left before it is used.
#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "tern/base/error.h"
#include "tern/formats/gguf.h"
#include "tern/formats/gguf_types.h"

namespace tern::formats {
namespace {

constexpr std::size_t kSmallestEntry = 8 + 4 + 1;       // Empty key, value type, one byte.
constexpr std::size_t kSmallestTensor = 8 + 4 + 4 + 8;  // Empty name, no dimensions, type, offset.

// Walks the header. Throws where the file ends too early.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t left() const noexcept { return bytes_.size() - position_; }

  // `what` names the thing being read, in `where` ("tensor 'x'", or nothing).
  std::span<const std::byte> take(std::uint64_t count, const char* what, std::string_view where) {
    if (count > left()) {
      throw Error(ErrorCode::kCorruptFile,
                  file_ + ": " + std::string(where) + (where.empty() ? "" : ": ") + what +
                      " at byte " + std::to_string(position_) + " takes " + std::to_string(count) +
                      " bytes, but the file has only " + std::to_string(left()) + " left");
    }
    const auto part =
        bytes_.subspan(static_cast<std::size_t>(position_), static_cast<std::size_t>(count));
    position_ += count;
    return part;
  }

  template <typename T>
  T number(const char* what, std::string_view where = {}) {
    T value;
    std::memcpy(&value, take(sizeof(T), what, where).data(), sizeof(T));
    return value;
  }

  std::string_view string(const char* what, std::string_view where = {}) {
    const auto length = number<std::uint64_t>(what, where);
    const auto text = take(length, what, where);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::uint64_t position_ = 0;
};

// A tensor as the header describes it, before its type and bytes are settled.
struct Description {
  TensorView view;
  std::uint32_t id = 0;
  std::uint64_t offset = 0;  // From the start of the data section.
};

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& file, const GgufOptions& options)
      : bytes_(bytes), file_(file), options_(options), cursor_(bytes, file) {}

  std::uint32_t version();
  std::vector<GgufEntry> metadata(std::uint64_t count);
  std::uint64_t alignment(const std::vector<GgufEntry>& metadata) const;
  std::vector<TensorView> tensors(std::uint64_t count, std::uint64_t alignment);
  std::uint64_t count(const char* what, std::size_t smallest);

 private:
  [[noreturn]] void fail(const std::string& sentence,
                         ErrorCode code = ErrorCode::kCorruptFile) const {
    throw Error(code, file_ + ": " + sentence);
  }
  static bool is_prism(std::uint32_t id) { return id == kGgufPQ2_0 || id == kGgufPTQ1_0; }
  static std::string of(const Description& tensor) {
    return "tensor " + quote_name(tensor.view.name);
  }

  GgufType value_type(const char* what, const std::string& where);
  GgufValue value(const std::string& where);
  Description description();
  void settle_types(std::vector<Description>& tensors, std::uint64_t data_size,
                    std::uint64_t alignment) const;
  DType settle_type_42(const std::vector<Description>& tensors,
                       const std::vector<std::uint64_t>& room, std::uint64_t alignment) const;
  std::uint64_t bytes_of(const Description& tensor) const;

  std::span<const std::byte> bytes_;
  const std::string& file_;
  const GgufOptions& options_;
  Cursor cursor_;
};

std::uint32_t Parser::version() {
  const auto magic = cursor_.take(4, "the magic number", {});
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    std::string found(reinterpret_cast<const char*>(magic.data()), 4);
    fail("begins with " + quote_name(found) + ", expected 'GGUF'");
  }
  const auto version = cursor_.number<std::uint32_t>("the version");
  if (version == 2 || version == 3) return version;
  if (version == 1) {
    fail("is GGUF version 1, which tern does not read; expected 2 or 3", ErrorCode::kUnsupported);
  }
  const std::uint32_t swapped = __builtin_bswap32(version);
  if (swapped >= 1 && swapped <= 3) {
    fail("is a big-endian GGUF file, which tern does not read; expected little-endian",
         ErrorCode::kUnsupported);
  }
  fail("is GGUF version " + std::to_string(version) + ", expected 2 or 3", ErrorCode::kUnsupported);
}

std::uint64_t Parser::count(const char* what, std::size_t smallest) {
  const auto count = cursor_.number<std::uint64_t>(what);
  // The tensor count stands before 8 more bytes of header; that only makes this bound looser.
  if (count > cursor_.left() / smallest) {
    fail(std::string(what) + " is " + std::to_string(count) + ", but the " +
         std::to_string(cursor_.left()) + " bytes left hold at most " +
         std::to_string(cursor_.left() / smallest));
  }
  return count;
}

GgufType Parser::value_type(const char* what, const std::string& where) {
  const auto type = cursor_.number<std::uint32_t>(what, where);
  if (!gguf_value_size(type)) {
    fail(where + ": " + what + " is " + std::to_string(type) + ", expected 0 to 12");
  }
  return static_cast<GgufType>(type);
}

GgufValue Parser::value(const std::string& where) {
  GgufValue value;
  value.type = value_type("the value type", where);
  if (value.type == GgufType::kArray) {
    value.element = value_type("the element type", where);
    if (value.element == GgufType::kArray) {
      fail(where + " holds an array of arrays, which tern does not read", ErrorCode::kUnsupported);
    }
    value.count = cursor_.number<std::uint64_t>("the array length", where);
  }
  const GgufType kind = value.type == GgufType::kArray ? value.element : value.type;
  const std::uint64_t start = cursor_.position();
  const std::size_t size = *gguf_value_size(static_cast<std::uint32_t>(kind));
  if (value.count > cursor_.left() / (size == 0 ? 8 : size)) {  // A string has at least its length.
    fail(where + ": " + std::to_string(value.count) + " values at byte " + std::to_string(start) +
         " do not fit the " + std::to_string(cursor_.left()) + " bytes left");
  }
  if (size != 0) {
    cursor_.take(value.count * size, "the value", where);
  } else {
    for (std::uint64_t i = 0; i < value.count; ++i) cursor_.string("the string", where);
  }
  value.raw = bytes_.subspan(static_cast<std::size_t>(start),
                             static_cast<std::size_t>(cursor_.position() - start));
  if (value.type == GgufType::kBool && std::to_integer<unsigned>(value.raw[0]) > 1) {
    fail(where + " is a bool of value " + std::to_string(std::to_integer<unsigned>(value.raw[0])) +
         ", expected 0 or 1");
  }
  return value;
}

std::vector<GgufEntry> Parser::metadata(std::uint64_t count) {
  std::vector<GgufEntry> entries;
  std::unordered_set<std::string_view> keys;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor_.string("a metadata key");
    const std::string where = "metadata key " + quote_name(key);
    if (!keys.insert(key).second) fail(where + " stands twice");
    entries.push_back({key, value(where)});
  }
  return entries;
}

std::uint64_t Parser::alignment(const std::vector<GgufEntry>& metadata) const {
  for (const GgufEntry& entry : metadata) {
    if (entry.key != "general.alignment") continue;
    const auto alignment = entry.value.as_uint();
    if (!alignment || !std::has_single_bit(*alignment) || *alignment > (1u << 30)) {
      fail("general.alignment is " +
           (alignment ? std::to_string(*alignment) : std::string("not a whole number")) +
           ", expected a power of two up to 2^30");
    }
    return *alignment;
  }
  return kGgufDefaultAlignment;
}

Description Parser::description() {
  Description tensor;
  tensor.view.name = std::string(cursor_.string("a tensor name"));
  const std::string where = of(tensor);
  const auto dims = cursor_.number<std::uint32_t>("the number of dimensions", where);
  if (dims > kGgufMaxDims) {
    fail(where + " has " + std::to_string(dims) + " dimensions, expected at most 4");
  }
  std::uint64_t elements = 1;
  for (std::uint32_t d = 0; d < dims; ++d) {
    const auto n = cursor_.number<std::uint64_t>("a dimension", where);
    if (n == 0) fail(where + " has a dimension of 0, expected at least 1");
    if (__builtin_mul_overflow(elements, n, &elements) || elements >> 63 != 0) {
      fail(where + " has more elements than 2^63");
    }
    // The file has the contiguous dimension first.
    tensor.view.shape.insert(tensor.view.shape.begin(), n);
  }
  tensor.id = cursor_.number<std::uint32_t>("the tensor type", where);
  tensor.offset = cursor_.number<std::uint64_t>("the tensor offset", where);
  return tensor;
}

std::uint64_t Parser::bytes_of(const Description& tensor) const {
  const auto bytes = dtype_bytes(tensor.view.type, tensor.view.rows(), tensor.view.cols());
  if (!bytes) {
    const bool rows4 = tensor.view.cols() % dtype_block(tensor.view.type) == 0;
    fail(of(tensor) + " of shape " + shape_text(tensor.view.shape) + " cannot be " +
         std::string(dtype_name(tensor.view.type)) +
         (rows4 ? ": expected a multiple of 4 rows and a size below 2^63"
                : ": expected rows of a multiple of " +
                      std::to_string(dtype_block(tensor.view.type)) + " weights"));
  }
  return *bytes;
}

// Q2_0 of two group sizes and TL2 share id 42. A file comes from one program, so one reading must
// explain the room of every such tensor, and only one may.
DType Parser::settle_type_42(const std::vector<Description>& tensors,
                             const std::vector<std::uint64_t>& room,
                             std::uint64_t alignment) const {
  bool all64 = true;
  bool all128 = true;
  const Description* first = nullptr;
  const Description* neither = nullptr;
  const auto fits = [&](const TensorView& view, std::uint64_t have, DType type) {
    const auto bytes = dtype_bytes(type, view.rows(), view.cols());
    // The last tensor's padding may be missing.
    return bytes && have >= *bytes && have - *bytes < alignment;
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].id != kGgufQ2_0OrTL2) continue;
    if (first == nullptr) first = &tensors[i];
    const bool fits64 = fits(tensors[i].view, room[i], DType::kQ2_0G64);
    const bool fits128 = fits(tensors[i].view, room[i], DType::kQ2_0G128);
    if (!fits64 && !fits128 && neither == nullptr) neither = &tensors[i];
    all64 = all64 && fits64;
    all128 = all128 && fits128;
  }
  if (all64 != all128) return all64 ? DType::kQ2_0G64 : DType::kQ2_0G128;
  const Description& named = neither != nullptr ? *neither : *first;
  fail(of(named) + " of shape " + shape_text(named.view.shape) + " has type 42, and its " +
           std::to_string(room[static_cast<std::size_t>(&named - tensors.data())]) + " bytes fit " +
           (all64 ? "Q2_0 with groups of 64 and of 128 alike"
                  : "neither Q2_0 with groups of 64 nor with groups of 128 in this file (TL2 of "
                    "bitnet.cpp is tiled for one build's kernels: convert the original with I2_S)"),
       ErrorCode::kUnsupported);
}

// Gives every tensor its type and its bytes; `data_size` bytes of data follow the header.
void Parser::settle_types(std::vector<Description>& tensors, std::uint64_t data_size,
                          std::uint64_t alignment) const {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return tensors[a].offset < tensors[b].offset; });
  std::vector<std::uint64_t> room(tensors.size());  // Bytes up to the next tensor.
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Description& tensor = tensors[order[i]];
    if (tensor.offset % alignment != 0) {
      fail(of(tensor) + " has offset " + std::to_string(tensor.offset) +
           ", expected a multiple of " + std::to_string(alignment));
    }
    if (tensor.offset > data_size) {
      fail(of(tensor) + " begins at byte " + std::to_string(tensor.offset) +
           " of the data, which ends at byte " + std::to_string(data_size));
    }
    const bool last = i + 1 == order.size();
    room[order[i]] =
        std::min(last ? data_size : tensors[order[i + 1]].offset, data_size) - tensor.offset;
  }
  std::optional<DType> type42;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorView& view = tensors[i].view;
    if (tensors[i].id == kGgufI2S) {
      view.type = options_.i2s == I2SLayout::kX86   ? DType::kI2S
                  : options_.i2s == I2SLayout::kArm ? DType::kI2SArm
                                                    : DType::kI2S1x4;
    } else if (tensors[i].id == kGgufQ2_0OrTL2) {
      if (!type42) type42 = settle_type_42(tensors, room, alignment);
      view.type = *type42;
    } else if (const auto type = dtype_of_gguf_id(tensors[i].id)) {
      view.type = *type;
    } else {
      fail(of(tensors[i]) + " " + why_unknown_gguf_id(tensors[i].id), ErrorCode::kUnsupported);
    }
    const std::uint64_t bytes = bytes_of(tensors[i]);
    if (bytes > room[i]) {
      const bool outside = bytes > data_size - tensors[i].offset;
      fail(of(tensors[i]) + " (" + std::string(dtype_name(view.type)) + " " +
           shape_text(view.shape) + ") takes " + std::to_string(bytes) + " bytes at byte " +
           std::to_string(tensors[i].offset) + " of the data, but " +
           (outside ? "the data ends" : "another tensor begins") + " after " +
           std::to_string(room[i]));
    }
    if (is_prism(tensors[i].id) && room[i] - bytes >= alignment) {
      fail(of(tensors[i]) + " has type " + std::to_string(tensors[i].id) + ", and its " +
               std::to_string(room[i]) + " bytes do not fit " + std::string(dtype_name(view.type)) +
               " of shape " + shape_text(view.shape),
           ErrorCode::kUnsupported);
    }
    const std::uint64_t data_start = bytes_.size() - data_size;
    view.bytes = bytes_.subspan(static_cast<std::size_t>(data_start + tensors[i].offset),
                                static_cast<std::size_t>(bytes));
  }
}

std::vector<TensorView> Parser::tensors(std::uint64_t count, std::uint64_t alignment) {
  std::vector<Description> described;
  for (std::uint64_t i = 0; i < count; ++i) described.push_back(description());
  std::unordered_set<std::string_view> names;  // The vector grows no more: views stay valid.
  for (const Description& tensor : described) {
    if (!names.insert(tensor.view.name).second) fail(of(tensor) + " stands twice");
  }
  if (described.empty()) return {};
  const std::uint64_t data_start = (cursor_.position() + alignment - 1) / alignment * alignment;
  if (data_start > bytes_.size()) {
    fail("the file ends at byte " + std::to_string(bytes_.size()) +
         ", before its tensor data at byte " + std::to_string(data_start));
  }
  settle_types(described, bytes_.size() - data_start, alignment);
  std::vector<TensorView> views;
  views.reserve(described.size());
  for (Description& tensor : described) views.push_back(std::move(tensor.view));
  return views;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path, const GgufOptions& options)
    : name_(path.string()), file_(path) {
  parse(file_->bytes(), options);
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string name, const GgufOptions& options)
    : name_(std::move(name)) {
  parse(bytes, options);
}

void GgufFile::parse(std::span<const std::byte> bytes, const GgufOptions& options) {
  Parser parser(bytes, name_, options);
  version_ = parser.version();
  const std::uint64_t tensor_count = parser.count("the number of tensors", kSmallestTensor);
  const std::uint64_t entry_count = parser.count("the number of metadata keys", kSmallestEntry);
  metadata_ = parser.metadata(entry_count);
  alignment_ = parser.alignment(metadata_);
  tensors_ = parser.tensors(tensor_count, alignment_);
}

const GgufValue* GgufFile::find(std::string_view key) const noexcept {
  for (const GgufEntry& entry : metadata_) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

const TensorView* GgufFile::tensor(std::string_view name) const noexcept {
  for (const TensorView& view : tensors_) {
    if (view.name == name) return &view;
  }
  return nullptr;
}

}  // namespace tern::formats
