// GGUF v2 and v3: bytes <-> metadata and named TensorViews, without copies (docs/formats/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/mapped_file.h"
#include "tern/tensor/tensor_view.h"

namespace tern::formats {

// Numbered as in the file.
enum class GgufType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// One metadata value. Cheap to copy; views into the file (or into what the writer was given).
struct GgufValue {
  GgufType type = GgufType::kU32;
  GgufType element = GgufType::kU32;  // Of an array.
  std::uint64_t count = 1;            // Elements of an array.
  std::span<const std::byte>
      raw;  // As in the file, after type (and, of an array, element and count).

  // The value if it is of a matching kind and in range; nullopt where it is another kind of thing.
  std::optional<std::uint64_t> as_uint() const;  // Any integer type, not negative.
  std::optional<double> as_number() const;       // Any integer or float type.
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;
  // Arrays, whole: nullopt for another element kind.
  std::optional<std::vector<std::string_view>> as_strings() const;
  std::optional<std::vector<float>> as_floats() const;           // F32 or F64.
  std::optional<std::vector<std::int64_t>> as_integers() const;  // Any integer type.
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

enum class I2SLayout { kX86, kArm, k1x4 };

struct GgufOptions {
  I2SLayout i2s = I2SLayout::kX86;  // How type id 36 is read; nothing in a file tells.
};

// The header of a file, checked whole: every count, length, offset and extent lies in the file,
// tensors do not overlap, names are unique, every type is known. Type ids that forks use twice
// (42: Q2_0 with groups of 64 or 128, or TL2) are told apart by the bytes between a tensor's offset
// and the next one's, and refused where that does not decide. Throws Error(kCorruptFile) or
// Error(kUnsupported) naming file, thing, found and expected. Views live as long as this object.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path, const GgufOptions& options = {});
  // Parses bytes that the caller keeps (fuzzers and tests); `name` stands for the file in messages.
  GgufFile(std::span<const std::byte> bytes, std::string name, const GgufOptions& options = {});

  const std::string& name() const noexcept { return name_; }
  std::uint32_t version() const noexcept { return version_; }
  std::uint64_t alignment() const noexcept { return alignment_; }
  std::span<const GgufEntry> metadata() const noexcept { return metadata_; }
  const GgufValue* find(std::string_view key) const noexcept;  // nullptr where it is missing.
  std::span<const TensorView> tensors() const noexcept { return tensors_; }  // In file order.
  const TensorView* tensor(std::string_view name) const noexcept;

 private:
  void parse(std::span<const std::byte> bytes, const GgufOptions& options);

  std::string name_;
  std::optional<MappedFile> file_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  std::vector<GgufEntry> metadata_;
  std::vector<TensorView> tensors_;
};

// Collects metadata and tensor descriptions, then streams a GGUF v3 file. Tensor bytes are asked
// for one tensor at a time, in order, so that a model larger than memory can be written. Tensors
// are aligned to 32 bytes; a "general.alignment" copied from another file is left out.
class GgufWriter {
 public:
  void set_uint32(std::string key, std::uint32_t value);
  void set_float32(std::string key, float value);
  void set_bool(std::string key, bool value);
  void set_string(std::string key, std::string_view value);
  void set_strings(std::string key, std::span<const std::string> values);
  void set_floats(std::string key, std::span<const float> values);
  void set_int32s(std::string key, std::span<const std::int32_t> values);
  void set_raw(std::string key, const GgufValue& value);  // As another file had it; copies.
  bool has(std::string_view key) const noexcept;

  // `shape` outermost first, as TensorView has it. `make` returns dtype_bytes(...) bytes and is
  // called once, during write(); it may throw, and then nothing is left behind. Throws
  // Error(kBadArgument) for a shape that does not fit the type, and for a type that GGUF has not
  // (U8, BOOL).
  void add_tensor(std::string name, DType type, std::vector<std::uint64_t> shape,
                  std::function<std::vector<std::byte>()> make);

  // Writes under a temporary name and renames. Throws Error(kIo); Error(kBadArgument) for a name
  // or key given twice.
  void write(const std::filesystem::path& path) const;

 private:
  struct Entry {
    std::string key;
    std::vector<std::byte> bytes;  // Type and value as in the file.
  };
  struct Tensor {
    std::string name;
    DType type;
    std::vector<std::uint64_t> shape;
    std::function<std::vector<std::byte>()> make;
  };
  void set(std::string key, std::vector<std::byte> bytes);
  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
};

}  // namespace tern::formats
