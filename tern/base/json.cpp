// nlohmann-json behind tern's errors.
#include "tern/base/json.h"

#include <cmath>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/utf8.h"

namespace tern {
namespace {

constexpr std::size_t kMaxDepth = 256;

[[noreturn]] void wrong(std::string_view what, const char* key, const Json& found,
                        const char* expected) {
  std::string shown = dump_json(found);
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  throw Error(ErrorCode::kCorruptFile,
              std::string(what) + ": field '" + key + "' is " + shown + ", expected " + expected);
}

// A field that is there and not null, else nullptr.
const Json* find(const Json& json, const char* key, std::string_view what) {
  if (!json.is_object()) {
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": found " + json.type_name() +
                                             " where an object was expected");
  }
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? nullptr : &*it;
}

// Builds a document from the parser's events. nlohmann-json's own builder with a callback would do,
// but takes twice the time, and a tokenizer.json has half a million values.
template <typename Document>
class Builder : public nlohmann::json_sax<Document> {
  using Sax = nlohmann::json_sax<Document>;

 public:
  using typename Sax::binary_t;
  using typename Sax::number_float_t;
  using typename Sax::number_integer_t;
  using typename Sax::number_unsigned_t;
  using typename Sax::string_t;

  explicit Builder(std::string_view what) : what_(what) {}
  Document take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t& value) override { return put(std::move(value)); }  // JSON has none.
  bool start_object(std::size_t) override { return open(Document::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Document::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& object = open_.back()->template get_ref<typename Document::object_t&>();
    if constexpr (std::is_same_v<Document, OrderedJson>) {
      // Its own emplace() looks through all keys; the set keeps a large object's time linear.
      if (!keys_.back().insert(name).second) fail_twice(name);
      using Pairs = typename OrderedJson::object_t::Container;
      slot_ = &static_cast<Pairs&>(object).emplace_back(name, nullptr).second;
    } else {
      const auto [it, fresh] = object.emplace(name, nullptr);
      if (!fresh) fail_twice(name);
      slot_ = &it->second;
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& e) override {
    std::string reason = e.what();
    if (const auto bracket = reason.find("] "); bracket != std::string::npos) {
      reason = reason.substr(bracket + 2);  // Drops "[json.exception.parse_error.101] ".
    }
    fail("not valid JSON: " + reason);
    return false;  // g++ 12 does not see that fail() never returns: this is a template.
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    // It may quote what was read, which may be long and anything.
    constexpr std::size_t kLongest = 300;
    const bool whole = reason.size() <= kLongest;
    throw Error(ErrorCode::kCorruptFile,
                std::string(what_) + ": " +
                    valid_utf8(whole ? reason : reason.substr(0, kLongest) + "..."));
  }

  [[noreturn]] void fail_twice(const std::string& name) const {
    fail("key '" + name + "' stands twice in one object");
  }

  // Puts a value where the next one goes: the root, an array's end, the key's place.
  Document* place(Document&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      return &open_.back()->template get_ref<typename Document::array_t&>().emplace_back(
          std::move(value));
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool put(Document&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Document&& value) {
    if (open_.size() == kMaxDepth) {
      fail("JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    open_.push_back(place(std::move(value)));
    if constexpr (std::is_same_v<Document, OrderedJson>) keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    if constexpr (std::is_same_v<Document, OrderedJson>) keys_.pop_back();
    return true;
  }

  std::string_view what_;
  Document root_;
  std::vector<Document*> open_;  // Objects and arrays that have begun; none of them moves.
  std::vector<std::set<std::string>> keys_;  // Of those, where objects keep their order.
  Document* slot_ = nullptr;                 // Of the last key.
};

template <typename Document>
Document parse(std::string_view text, std::string_view what) {
  Builder<Document> builder(what);
  try {
    Document::sax_parse(text, &builder);
  } catch (const typename Document::exception& e) {
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": not valid JSON: " + e.what());
  }
  return builder.take();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view what) { return parse<Json>(text, what); }

OrderedJson parse_ordered_json(std::string_view text, std::string_view what) {
  return parse<OrderedJson>(text, what);
}

Json parse_json(std::span<const std::byte> bytes, std::string_view what) {
  return parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                    what);
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string dump_ordered_json(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

void write_json(const std::filesystem::path& path, const Json& json) {
  write_file(path, dump_json(json, 2) + "\n");
}

std::optional<std::uint64_t> json_uint(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_number_unsigned()) wrong(what, key, *field, "a whole number of 0 or more");
  return field->get<std::uint64_t>();
}

std::optional<double> json_number(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_number() || !std::isfinite(field->get<double>())) {
    wrong(what, key, *field, "a finite number");
  }
  return field->get<double>();
}

std::optional<bool> json_bool(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_boolean()) wrong(what, key, *field, "true or false");
  return field->get<bool>();
}

std::optional<std::string> json_string(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_string()) wrong(what, key, *field, "a string");
  return field->get<std::string>();
}

}  // namespace tern
