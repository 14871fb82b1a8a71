// The Hub's JSON and headers, taken as what a stranger says.
#include "tern/hub/listing.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/hub/model_name.h"

namespace tern::hub {
namespace {

[[noreturn]] void fail(std::string_view what, const std::string& reason) {
  throw Error(ErrorCode::kCorruptFile, std::string(what) + ": " + reason);
}

const Json* object_at(const Json& json, const char* key, std::string_view what) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return nullptr;
  if (!it->is_object()) {
    fail(what, "field '" + std::string(key) + "' is a " + it->type_name() + ", expected an object");
  }
  return &*it;
}

// A hash that is said must be one: half a check is none.
std::string hash_at(const Json& json, const char* key, std::size_t digits, std::string_view what) {
  const auto hash = json_string(json, key, what);
  if (!hash) return "";
  if (hash->size() != digits || !is_content_hash(*hash)) {
    fail(what, "field '" + std::string(key) + "' is '" + shown(*hash) + "', expected " +
                   std::to_string(digits) + " hexadecimal digits");
  }
  return *hash;
}

RepositoryFile parse_file(const Json& entry, std::string_view what) {
  RepositoryFile file;
  const auto path = json_string(entry, "rfilename", what);
  if (!path) fail(what, "a file without 'rfilename' found in 'siblings'");
  if (leaves_its_folder(*path)) {
    fail(what,
         "file name '" + shown(*path) + "' found, expected a path that stays in the repository");
  }
  file.path = *path;
  const Json* lfs = object_at(entry, "lfs", what);
  file.size = json_uint(entry, "size", what);
  if (lfs != nullptr) {
    const auto size = json_uint(*lfs, "size", what);
    if (size) file.size = size;
    file.hash = hash_at(*lfs, "sha256", 64, what);
  } else {
    file.hash = hash_at(entry, "blobId", 40, what);
  }
  if (file.size && *file.size > kLargestFile) {
    fail(what, "file '" + shown(file.path) + "' of " + std::to_string(*file.size) +
                   " bytes found, expected at most " + std::to_string(kLargestFile));
  }
  return file;
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

const RepositoryFile* Listing::find(std::string_view path) const noexcept {
  const auto it = std::ranges::find(files, path, &RepositoryFile::path);
  return it == files.end() ? nullptr : &*it;
}

Listing parse_listing(std::string_view text, std::string_view what) {
  const Json json = parse_json(text, what);
  Listing listing;
  listing.commit = json_string(json, "sha", what).value_or("");
  if (!is_commit(listing.commit)) {
    fail(what, "field 'sha' is '" + shown(listing.commit) + "', expected a commit of 40 digits");
  }
  const auto siblings = json.find("siblings");
  if (siblings == json.end() || !siblings->is_array()) {
    fail(what, "no list 'siblings' found, expected the repository's files");
  }
  for (const Json& entry : *siblings) {
    RepositoryFile file = parse_file(entry, what);
    if (is_safe_path(file.path)) listing.files.push_back(std::move(file));
  }
  std::ranges::sort(listing.files, {}, &RepositoryFile::path);
  const auto twice = std::ranges::adjacent_find(listing.files, {}, &RepositoryFile::path);
  if (twice != listing.files.end()) fail(what, "file '" + twice->path + "' is listed twice");
  return listing;
}

std::vector<std::string> parse_shards(std::string_view text, std::string_view what) {
  const Json json = parse_json(text, what);
  const Json* map = json.is_object() ? object_at(json, "weight_map", what) : nullptr;
  if (map == nullptr) fail(what, "no object 'weight_map' found");
  std::set<std::string> names;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      fail(what, "the file of tensor '" + shown(tensor) + "' is a " + shard.type_name() +
                     ", expected a string");
    }
    const auto& name = shard.get_ref<const std::string&>();
    if (!is_safe_path(name) || name.find('/') != std::string::npos ||
        !name.ends_with(".safetensors")) {
      fail(what, "weights in '" + shown(name) + "' found, expected a *.safetensors beside it");
    }
    names.insert(name);
  }
  if (names.empty()) fail(what, "an empty 'weight_map' found");
  return {names.begin(), names.end()};
}

std::string hash_of_etag(std::string_view etag) {
  etag = trimmed(etag);
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return is_content_hash(etag) ? std::string(etag) : "";
}

std::optional<std::uint64_t> parse_byte_count(std::string_view text) noexcept {
  text = trimmed(text);
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end || value > kLargestFile) {
    return std::nullopt;
  }
  return value;
}

std::optional<ContentRange> parse_content_range(std::string_view text) noexcept {
  text = trimmed(text);
  if (!text.starts_with("bytes ")) return std::nullopt;
  text = trimmed(text.substr(6));
  const auto dash = text.find('-');
  const auto slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = parse_byte_count(text.substr(0, dash));
  const auto last = parse_byte_count(text.substr(dash + 1, slash - dash - 1));
  const std::string_view total = trimmed(text.substr(slash + 1));
  ContentRange range;
  if (!first || !last || *first > *last) return std::nullopt;
  range.first = *first;
  range.last = *last;
  if (total == "*") return range;
  range.total = parse_byte_count(total);
  if (!range.total || range.last >= *range.total) return std::nullopt;
  return range;
}

}  // namespace tern::hub
