// One safetensors file out: header first, then one tensor after another.
#include <cstring>
#include <utility>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/formats/safetensors.h"
#include "tern/formats/safetensors_dtypes.h"

namespace tern::formats {
namespace {

[[noreturn]] void refuse(const std::string& tensor, const std::string& sentence) {
  throw Error(ErrorCode::kBadArgument, "tensor '" + tensor + "' " + sentence);
}

std::uint64_t checked_bytes(const std::string& name, DType type,
                            const std::vector<std::uint64_t>& shape) {
  const TensorView view{name, type, shape, {}};
  std::uint64_t elements = 1;
  bool fits = dtype_of_safetensors(dtype_name(type)).has_value();
  for (const std::uint64_t n : shape) {
    fits = fits && !__builtin_mul_overflow(elements, n, &elements);
  }
  const auto bytes = fits ? dtype_bytes(type, view.rows(), view.cols()) : std::nullopt;
  if (!bytes) {
    refuse(name, "of shape " + shape_text(shape) + " cannot be written to safetensors as " +
                     std::string(dtype_name(type)));
  }
  return *bytes;
}

}  // namespace

void SafetensorsWriter::set_metadata(std::string key, std::string value) {
  metadata_.insert_or_assign(std::move(key), std::move(value));
}

void SafetensorsWriter::add_tensor(std::string name, DType type, std::vector<std::uint64_t> shape,
                                   std::function<std::vector<std::byte>()> make) {
  checked_bytes(name, type, shape);
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(make)});
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  Json json = Json::object();
  if (!metadata_.empty()) json["__metadata__"] = metadata_;
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    if (tensor.name == "__metadata__") refuse(tensor.name, "has a name that the format keeps");
    if (json.contains(tensor.name)) refuse(tensor.name, "is given twice");
    const std::uint64_t end = offset + checked_bytes(tensor.name, tensor.type, tensor.shape);
    json[tensor.name] = {{"dtype", dtype_name(tensor.type)},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string header = dump_json(json);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kSafetensorsHeaderLimit) {
    throw Error(ErrorCode::kBadArgument,
                path.string() + ": its header would take " + std::to_string(header.size()) +
                    " bytes, expected at most " + std::to_string(kSafetensorsHeaderLimit));
  }
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const Tensor& tensor : tensors_) {
    const std::vector<std::byte> bytes = tensor.make();
    const std::uint64_t expected = checked_bytes(tensor.name, tensor.type, tensor.shape);
    if (bytes.size() != expected) {
      refuse(tensor.name, "was given " + std::to_string(bytes.size()) + " bytes, expected " +
                              std::to_string(expected));
    }
    file.write(bytes);
  }
  file.commit();
}

}  // namespace tern::formats
