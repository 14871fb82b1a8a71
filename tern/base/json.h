// JSON through nlohmann-json, with tern's errors and fields that are checked when they are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tern {

using Json = nlohmann::json;
// Objects keep the order of their keys; finding a key takes time linear in their number.
using OrderedJson = nlohmann::ordered_json;

// Parses one whole document. Throws Error(kCorruptFile) naming `what` and the byte at fault; also
// on nesting deeper than 256, on a key given twice in one object and on invalid UTF-8.
Json parse_json(std::string_view text, std::string_view what);
Json parse_json(std::span<const std::byte> bytes, std::string_view what);
// The same with objects in the document's order.
OrderedJson parse_ordered_json(std::string_view text, std::string_view what);

// Compact or indented text; invalid UTF-8 in strings becomes U+FFFD, so this never throws on it.
std::string dump_json(const Json& json, int indent = -1);
std::string dump_ordered_json(const OrderedJson& json, int indent = -1);

// Writes a whole file of indented JSON, as AtomicFile does. Throws Error(kIo).
void write_json(const std::filesystem::path& path, const Json& json);

// Fields of an object `json` that came from the file or request `what`. A missing field (or null)
// is nullopt; one of the wrong type or range throws Error(kCorruptFile), naming the field.
std::optional<std::uint64_t> json_uint(const Json& json, const char* key, std::string_view what);
std::optional<double> json_number(const Json& json, const char* key, std::string_view what);
std::optional<bool> json_bool(const Json& json, const char* key, std::string_view what);
std::optional<std::string> json_string(const Json& json, const char* key, std::string_view what);

}  // namespace tern
