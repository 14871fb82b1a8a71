// The header of a safetensors file, and the folders that spread a model over several.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/formats/safetensors.h"
#include "tern/formats/safetensors_dtypes.h"

namespace tern::formats {
namespace {

[[noreturn]] void fail(const std::string& file, const std::string& sentence,
                       ErrorCode code = ErrorCode::kCorruptFile) {
  throw Error(code, file + ": " + sentence);
}

// A list of whole numbers under `key`.
std::vector<std::uint64_t> numbers(const Json& json, const char* key, const std::string& where) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_array()) {
    throw Error(ErrorCode::kCorruptFile, where + ": expected a list under '" + key + "'");
  }
  std::vector<std::uint64_t> list;
  for (const Json& item : *it) {
    if (!item.is_number_unsigned()) {
      throw Error(ErrorCode::kCorruptFile, where + ": '" + key + "' holds " + dump_json(item) +
                                               ", expected whole numbers of 0 or more");
    }
    list.push_back(item.get<std::uint64_t>());
  }
  return list;
}

// One tensor's entry of the header. `data` is what follows the header.
TensorView tensor_view(const std::string& name, const Json& json, std::span<const std::byte> data,
                       const std::string& file) {
  const std::string where = file + ": tensor '" + name + "'";
  const auto dtype = json_string(json, "dtype", where);
  if (!dtype) throw Error(ErrorCode::kCorruptFile, where + " has no dtype");
  const auto type = dtype_of_safetensors(*dtype);
  if (!type) {
    throw Error(ErrorCode::kUnsupported,
                where + " has dtype '" + *dtype + "', expected one of " + safetensors_dtype_list());
  }
  TensorView view{name, *type, numbers(json, "shape", where), {}};
  std::uint64_t elements = 1;
  for (const std::uint64_t n : view.shape) {
    if (__builtin_mul_overflow(elements, n, &elements)) {
      throw Error(ErrorCode::kCorruptFile,
                  where + " has shape " + shape_text(view.shape) + ", more elements than 2^64");
    }
  }
  const auto offsets = numbers(json, "data_offsets", where);
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size()) {
    throw Error(ErrorCode::kCorruptFile, where + " has data_offsets " +
                                             dump_json(json["data_offsets"]) +
                                             ", expected [begin, end] within the " +
                                             std::to_string(data.size()) + " bytes of data");
  }
  const auto bytes = dtype_bytes(*type, view.rows(), view.cols());
  if (!bytes || *bytes != offsets[1] - offsets[0]) {
    throw Error(ErrorCode::kCorruptFile,
                where + " has " + std::to_string(offsets[1] - offsets[0]) + " bytes, expected " +
                    (bytes ? std::to_string(*bytes) : std::string("fewer than 2^63")) + " for " +
                    *dtype + " of shape " + shape_text(view.shape));
  }
  view.bytes = data.subspan(static_cast<std::size_t>(offsets[0]), static_cast<std::size_t>(*bytes));
  return view;
}

// The format wants the data section covered, with no hole and no overlap.
void check_cover(const std::vector<TensorView>& tensors, std::span<const std::byte> data,
                 const std::string& file) {
  std::vector<const TensorView*> order;
  order.reserve(tensors.size());
  for (const TensorView& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
    return std::pair(a->bytes.data(), a->bytes.size()) <
           std::pair(b->bytes.data(), b->bytes.size());
  });
  std::size_t covered = 0;
  for (const TensorView* tensor : order) {
    const auto begin = static_cast<std::size_t>(tensor->bytes.data() - data.data());
    if (begin != covered) {
      fail(file, "tensor '" + tensor->name + "' begins at byte " + std::to_string(begin) +
                     " of the data, expected " + std::to_string(covered) +
                     (begin < covered ? " (it overlaps another)" : " (there is a hole)"));
    }
    covered += tensor->bytes.size();
  }
  if (covered != data.size()) {
    fail(file, "has " + std::to_string(data.size()) + " bytes of data, but its tensors cover " +
                   std::to_string(covered));
  }
}

bool is_plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

constexpr std::string_view kIndexName = "model.safetensors.index.json";

// Tensor name -> shard, from the index.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const std::string where = path.string();
  const Json json = parse_json(read_text_file(path), where);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(where, "expected an object 'weight_map'");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get<std::string>())) {
      fail(where, "tensor '" + tensor + "' is said to be in " + dump_json(shard) +
                      ", expected the name of a file in the same folder");
    }
    shards.emplace(tensor, shard.get<std::string>());
  }
  if (shards.empty()) fail(where, "'weight_map' names no tensor");
  return shards;
}

// The one *.safetensors of a folder that has no model.safetensors.
std::filesystem::path only_file(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() == ".safetensors") found.push_back(it->path());
  }
  if (error) fail(folder.string(), "cannot list: " + error.message(), ErrorCode::kIo);
  if (found.size() != 1) {
    fail(folder.string(),
         "has " + std::to_string(found.size()) + " *.safetensors files and neither " +
             "model.safetensors nor " + std::string(kIndexName) + ", expected one of these",
         found.empty() ? ErrorCode::kIo : ErrorCode::kCorruptFile);
  }
  return found[0];
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : name_(path.string()) {
  file_.emplace_back(path);
  parse(file_[0].bytes());
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)) {
  parse(bytes);
}

void SafetensorsFile::parse(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof(length)) {
    fail(name_, std::to_string(bytes.size()) + " bytes found, expected at least 8");
  }
  std::memcpy(&length, bytes.data(), sizeof(length));
  bytes = bytes.subspan(sizeof(length));
  if (length > kSafetensorsHeaderLimit) {
    fail(name_, "its header is said to be " + std::to_string(length) +
                    " bytes long, expected at most " + std::to_string(kSafetensorsHeaderLimit));
  }
  if (length > bytes.size()) {
    fail(name_, "its header is said to be " + std::to_string(length) + " bytes long, but only " +
                    std::to_string(bytes.size()) + " follow");
  }
  const auto header = bytes.first(static_cast<std::size_t>(length));
  const auto data = bytes.subspan(static_cast<std::size_t>(length));
  const Json json = parse_json(header, name_ + ": header");
  if (!json.is_object()) fail(name_, "its header is no JSON object");
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail(name_, "'__metadata__' is no JSON object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(name_, "'__metadata__' field '" + key + "' is no string");
        metadata_.emplace(key, value.get<std::string>());
      }
    } else if (entry.is_object()) {
      tensors_.push_back(tensor_view(name, entry, data, name_));
    } else {
      fail(name_, "tensor '" + name + "' is described by no JSON object");
    }
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  check_cover(tensors_, data, name_);
}

const TensorView* SafetensorsFile::tensor(std::string_view name) const noexcept {
  const auto it = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const TensorView& view, std::string_view key) { return view.name < key; });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / kIndexName;
  if (std::filesystem::exists(single, ignored)) {
    files_.emplace_back(single);
    return;
  }
  if (!std::filesystem::exists(index, ignored)) {
    files_.emplace_back(only_file(folder));
    return;
  }
  const auto shards = read_index(index);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : shards) names.insert(shard);
  std::map<std::string_view, const std::string*> home;  // Tensor -> the file it was found in.
  files_.reserve(names.size());
  for (const std::string& shard : names) {
    files_.emplace_back(folder / shard);
    for (const TensorView& view : files_.back().tensors()) {
      if (const auto [it, fresh] = home.emplace(view.name, &shard); !fresh) {
        fail(folder.string(),
             "tensor '" + view.name + "' is in both " + *it->second + " and " + shard);
      }
    }
  }
  for (const auto& [tensor, shard] : shards) {
    const auto it = home.find(tensor);
    if (it == home.end() || *it->second != shard) {
      fail(index.string(), "tensor '" + tensor + "' is said to be in " + shard + ", found in " +
                               (it == home.end() ? std::string("no file") : *it->second));
    }
  }
}

const TensorView* SafetensorsFolder::tensor(std::string_view name) const noexcept {
  for (const SafetensorsFile& file : files_) {
    if (const TensorView* view = file.tensor(name)) return view;
  }
  return nullptr;
}

std::vector<const TensorView*> SafetensorsFolder::tensors() const {
  std::vector<const TensorView*> all;
  for (const SafetensorsFile& file : files_) {
    for (const TensorView& view : file.tensors()) all.push_back(&view);
  }
  std::sort(all.begin(), all.end(),
            [](const TensorView* a, const TensorView* b) { return a->name < b->name; });
  return all;
}

std::string SafetensorsFolder::file_of(std::string_view tensor) const {
  for (const SafetensorsFile& file : files_) {
    if (file.tensor(tensor) != nullptr) return file.name();
  }
  return {};
}

}  // namespace tern::formats
