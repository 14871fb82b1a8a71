// Methods of texts, lists, tuples and dicts.
#include <algorithm>
#include <span>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

struct Row {
  std::string_view name;
  Method::Call call;
};

const std::string& text_of(const Value& self) { return self.as_string(); }

// The same kind of text as `self`, made.
Value alike(Renderer& renderer, const Value& self, std::string made) {
  renderer.make_room(made.size());
  return self.is_markup() ? Value::markup(std::move(made)) : Value::text(std::move(made));
}

// Methods with arguments escape them where the text is marked as safe; that is not known here.
void refuse_markup(Renderer& renderer, const Value& self, const Arguments& arguments,
                   std::string_view what) {
  if (self.is_markup() && (!arguments.values.empty() || !arguments.named.empty())) {
    renderer.fail("the method '" + std::string(what) + "' of a text marked as safe is not known",
                  ErrorCode::kUnsupported);
  }
}

void refuse_named(Renderer& renderer, const Arguments& arguments, std::string_view what) {
  if (!arguments.named.empty()) renderer.fail(std::string(what) + "() takes no keyword arguments");
}

std::optional<std::string> optional_text(Renderer& renderer, const std::optional<Value>& value,
                                         std::string_view what) {
  if (!value || value->is_none()) return std::nullopt;
  return text_argument(renderer, *value, what);
}

template <bool kLeft, bool kRight>
Value strip(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_markup(renderer, self, arguments, "strip");
  refuse_named(renderer, arguments, "strip");
  const auto bound = bind(renderer, "strip", arguments, {"chars"});
  const auto chars = optional_text(renderer, bound[0], "the argument of strip");
  renderer.step((text_of(self).size() + 1) * (chars ? chars->size() / 16 + 1 : 1) / 64);
  std::string_view rest = text_of(self);
  if (kLeft) rest = lstrip(rest, chars);
  if (kRight) rest = rstrip(rest, chars);
  return alike(renderer, self, std::string(rest));
}

template <bool kRight>
Value split_method(Renderer& renderer, const Value& self, const Arguments& arguments) {
  if (self.is_markup()) {
    renderer.fail("the method 'split' of a text marked as safe is not known",
                  ErrorCode::kUnsupported);
  }
  const auto bound = bind(renderer, "split", arguments, {"sep", "maxsplit"});
  const auto separator = optional_text(renderer, bound[0], "the separator of split");
  if (separator && separator->empty()) renderer.fail("split() has an empty separator");
  const std::int64_t limit = bound[1] ? int_argument(renderer, *bound[1], "maxsplit") : -1;
  renderer.step(text_of(self).size() / 8);
  return renderer.texts(kRight ? rsplit(text_of(self), separator, limit)
                               : split(text_of(self), separator, limit));
}

Value splitlines_method(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_markup(renderer, self, arguments, "splitlines");
  const auto bound = bind(renderer, "splitlines", arguments, {"keepends"});
  renderer.step(text_of(self).size() / 8);
  return renderer.texts(splitlines(text_of(self), bound[0] && truth(*bound[0])));
}

// The part between code points `start` and `stop`, as the methods with such arguments take it;
// nullopt where start is behind the end.
struct Part {
  std::string_view text;
  std::int64_t first;
};
std::optional<Part> part_of(Renderer& renderer, const std::string& text,
                            const std::optional<Value>& start, const std::optional<Value>& stop) {
  if (!start && !stop) return Part{text, 0};
  const auto size = static_cast<std::int64_t>(code_points(text));
  const auto place = [&](const std::optional<Value>& value, std::int64_t otherwise) {
    if (!value || value->is_none()) return otherwise;
    const std::int64_t given = int_argument(renderer, *value, "a place in a text");
    return given < 0 ? std::max<std::int64_t>(0, std::max(given, -size) + size) : given;
  };
  const std::int64_t first = place(start, 0);
  const std::int64_t last = std::min(place(stop, size), size);
  if (first > size || first > last) return std::nullopt;
  const std::size_t begin = byte_of(text, static_cast<std::size_t>(first));
  const std::string_view rest = std::string_view(text).substr(begin);
  return Part{rest.substr(0, byte_of(rest, static_cast<std::size_t>(last - first))), first};
}

template <bool kStart>
Value starts_or_ends(Renderer& renderer, const Value& self, const Arguments& arguments) {
  const std::string_view what = kStart ? "startswith" : "endswith";
  refuse_named(renderer, arguments, what);
  const auto bound = bind(renderer, what, arguments, {"prefix", "start", "end"}, 1);
  const auto part = part_of(renderer, text_of(self), bound[1], bound[2]);
  const auto fits = [&](const Value& wanted) {
    const std::string piece =
        text_argument(renderer, wanted, "the argument of " + std::string(what));
    return part && (kStart ? part->text.starts_with(piece) : part->text.ends_with(piece));
  };
  if (!bound[0]->is(SequenceKind::kTuple)) return Value::boolean(fits(*bound[0]));
  for (const Value& one : bound[0]->as_sequence().items) {
    if (fits(one)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

Value replace_method(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_markup(renderer, self, arguments, "replace");
  refuse_named(renderer, arguments, "replace");
  const auto bound = bind(renderer, "replace", arguments, {"old", "new", "count"}, 2);
  return replaced(renderer, text_of(self), text_argument(renderer, *bound[0], "what replace seeks"),
                  text_argument(renderer, *bound[1], "what replace puts"),
                  bound[2] ? int_argument(renderer, *bound[2], "the count of replace") : -1);
}

Value join_method(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_markup(renderer, self, arguments, "join");
  refuse_named(renderer, arguments, "join");
  const auto bound = bind(renderer, "join", arguments, {"iterable"}, 1);
  std::string whole;
  bool first = true;
  for (const Value& one : renderer.items(*bound[0])) {
    const std::string piece = text_argument(renderer, one, "an element that join was given");
    renderer.make_room(whole.size() + piece.size() + text_of(self).size());
    if (!first) whole += text_of(self);
    whole += piece;
    first = false;
  }
  return Value::text(std::move(whole));
}

template <bool kFromEnd, bool kMustBe>
Value find_text(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_named(renderer, arguments, "find");
  const auto bound = bind(renderer, "find", arguments, {"sub", "start", "end"}, 1);
  const std::string wanted = text_argument(renderer, *bound[0], "what find seeks");
  const auto part = part_of(renderer, text_of(self), bound[1], bound[2]);
  renderer.step(text_of(self).size() / 64);
  const std::size_t at = !part      ? std::string::npos
                         : kFromEnd ? part->text.rfind(wanted)
                                    : part->text.find(wanted);
  if (at != std::string::npos) {
    return Value::integer(part->first +
                          static_cast<std::int64_t>(code_points(part->text.substr(0, at))));
  }
  if (kMustBe) renderer.fail("substring not found");
  return Value::integer(-1);
}

Value count_text(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_named(renderer, arguments, "count");
  const auto bound = bind(renderer, "count", arguments, {"sub", "start", "end"}, 1);
  const std::string wanted = text_argument(renderer, *bound[0], "what count seeks");
  const auto part = part_of(renderer, text_of(self), bound[1], bound[2]);
  renderer.step(text_of(self).size() / 64);
  if (!part) return Value::integer(0);
  if (wanted.empty()) {
    return Value::integer(static_cast<std::int64_t>(code_points(part->text)) + 1);
  }
  std::int64_t count = 0;
  for (std::size_t at = part->text.find(wanted); at != std::string_view::npos;
       at = part->text.find(wanted, at + wanted.size())) {
    ++count;
  }
  return Value::integer(count);
}

template <std::string (*kChange)(std::string_view)>
Value change_case(Renderer& renderer, const Value& self, const Arguments& arguments) {
  bind(renderer, "this method", arguments, {});
  renderer.step(text_of(self).size() / 8);
  return alike(renderer, self, kChange(text_of(self)));
}

// str.title: which letters have case is known for ASCII.
std::string title(std::string_view text) {
  std::string out;
  bool inside = false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      throw Error(ErrorCode::kUnsupported,
                  "the method 'title' of a text beyond ASCII is not known");
    }
    const std::string one(1, c);
    out += inside ? to_lower(one) : to_upper(one);
    inside = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  return out;
}

// isdigit, isalpha and the like: of ASCII texts.
template <bool kDigits, bool kLetters>
Value is_made_of(Renderer& renderer, const Value& self, const Arguments& arguments) {
  bind(renderer, "this method", arguments, {});
  renderer.step(text_of(self).size() / 64);
  bool all = !text_of(self).empty();
  for (const char c : text_of(self)) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      renderer.fail("which characters beyond ASCII are digits or letters is not known",
                    ErrorCode::kUnsupported);
    }
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    all = all && ((kDigits && digit) || (kLetters && letter));
  }
  return Value::boolean(all);
}

Value isspace(Renderer& renderer, const Value& self, const Arguments& arguments) {
  bind(renderer, "isspace", arguments, {});
  return Value::boolean(!text_of(self).empty() && is_blank(text_of(self)));
}

template <bool kFront>
Value without_affix(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_markup(renderer, self, arguments, "removeprefix");
  refuse_named(renderer, arguments, "removeprefix");
  const auto bound = bind(renderer, "removeprefix", arguments, {"affix"}, 1);
  const std::string affix = text_argument(renderer, *bound[0], "what is to be removed");
  std::string_view rest = text_of(self);
  if (kFront && rest.starts_with(affix)) rest.remove_prefix(affix.size());
  if (!kFront && rest.ends_with(affix)) rest.remove_suffix(affix.size());
  return renderer.text(std::string(rest));
}

Value get(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_named(renderer, arguments, "get");
  const auto bound = bind(renderer, "get", arguments, {"key", "default"}, 1);
  if (!Dict::can_be_key(*bound[0]) && !bound[0]->is_undefined()) {
    renderer.fail("unhashable type: '" + type_name(*bound[0]) + "'");
  }
  const Value* found = self.as_dict().find(*bound[0]);
  return found != nullptr ? *found : bound[1].value_or(Value::none());
}

template <SequenceKind kKind>
Value view(Renderer& renderer, const Value& self, const Arguments& arguments) {
  bind(renderer, "this method", arguments, {});
  renderer.step(self.as_dict().size());
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict().entries()) {
    items.push_back(kKind == SequenceKind::kKeys ? key
                    : kKind == SequenceKind::kValues
                        ? value
                        : Value::sequence(SequenceKind::kTuple, {key, value}));
  }
  return Value::sequence(kKind, std::move(items));
}

Value copy(Renderer& renderer, const Value& self, const Arguments& arguments) {
  bind(renderer, "copy", arguments, {});
  return self;  // Nothing can change it.
}

Value index_of(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_named(renderer, arguments, "index");
  const auto bound = bind(renderer, "index", arguments, {"value"}, 1);
  const auto& items = self.as_sequence().items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(renderer, items[i], *bound[0])) return Value::integer(static_cast<std::int64_t>(i));
  }
  renderer.fail("the value is not in the " + type_name(self));
}

Value count_items(Renderer& renderer, const Value& self, const Arguments& arguments) {
  refuse_named(renderer, arguments, "count");
  const auto bound = bind(renderer, "count", arguments, {"value"}, 1);
  std::int64_t count = 0;
  for (const Value& one : self.as_sequence().items)
    count += equal(renderer, one, *bound[0]) ? 1 : 0;
  return Value::integer(count);
}

constexpr Row kTextMethods[] = {{"strip", strip<true, true>},
                                {"lstrip", strip<true, false>},
                                {"rstrip", strip<false, true>},
                                {"split", split_method<false>},
                                {"rsplit", split_method<true>},
                                {"splitlines", splitlines_method},
                                {"startswith", starts_or_ends<true>},
                                {"endswith", starts_or_ends<false>},
                                {"replace", replace_method},
                                {"join", join_method},
                                {"find", find_text<false, false>},
                                {"rfind", find_text<true, false>},
                                {"index", find_text<false, true>},
                                {"rindex", find_text<true, true>},
                                {"count", count_text},
                                {"upper", change_case<to_upper>},
                                {"lower", change_case<to_lower>},
                                {"capitalize", change_case<capitalize>},
                                {"title", change_case<title>},
                                {"isdigit", is_made_of<true, false>},
                                {"isalpha", is_made_of<false, true>},
                                {"isalnum", is_made_of<true, true>},
                                {"isspace", isspace},
                                {"removeprefix", without_affix<true>},
                                {"removesuffix", without_affix<false>}};
constexpr Row kListMethods[] = {{"index", index_of}, {"count", count_items}, {"copy", copy}};
constexpr Row kTupleMethods[] = {{"index", index_of}, {"count", count_items}};
constexpr Row kDictMethods[] = {{"get", get},
                                {"items", view<SequenceKind::kItems>},
                                {"keys", view<SequenceKind::kKeys>},
                                {"values", view<SequenceKind::kValues>},
                                {"copy", copy}};

// The rest of what Python's types have: to be told apart from what is nowhere.
constexpr std::string_view kOtherText[] = {
    "casefold",   "center",    "encode",       "expandtabs", "format",    "format_map",
    "isascii",    "isdecimal", "isidentifier", "islower",    "isnumeric", "isprintable",
    "istitle",    "isupper",   "ljust",        "maketrans",  "partition", "rjust",
    "rpartition", "swapcase",  "translate",    "zfill"};
constexpr std::string_view kOtherMarkup[] = {"escape", "striptags", "unescape"};
constexpr std::string_view kOtherInt[] = {
    "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
    "from_bytes",       "imag",      "numerator",  "real",      "to_bytes"};
constexpr std::string_view kOtherFloat[] = {
    "as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real"};
constexpr std::string_view kOtherList[] = {"clear", "pop"};
constexpr std::string_view kOtherDict[] = {"fromkeys"};
constexpr std::string_view kOtherView[] = {"isdisjoint", "mapping"};
constexpr std::string_view kOtherRange[] = {"count", "index", "start", "step", "stop"};
constexpr std::string_view kOtherGenerator[] = {
    "close", "gi_code", "gi_frame", "gi_running", "gi_suspended", "gi_yieldfrom", "send", "throw"};
// What the sandbox forbids, because it would change a value.
constexpr std::string_view kForbiddenList[] = {"append", "extend",  "insert",
                                               "remove", "reverse", "sort"};
constexpr std::string_view kForbiddenDict[] = {"clear", "pop", "popitem", "setdefault", "update"};

struct Type {
  std::span<const Row> known;
  std::span<const std::string_view> others, forbidden;
};

Type type_of(const Value& self) {
  switch (self.kind()) {
    case Kind::kString:
      return {kTextMethods, kOtherText, {}};
    case Kind::kDict:
      return {kDictMethods, kOtherDict, kForbiddenDict};
    case Kind::kBool:
    case Kind::kInt:
      return {{}, kOtherInt, {}};
    case Kind::kFloat:
      return {{}, kOtherFloat, {}};
    case Kind::kSequence:
      break;
    default:
      return {};
  }
  switch (self.as_sequence().kind) {
    case SequenceKind::kList:
      return {kListMethods, kOtherList, kForbiddenList};
    case SequenceKind::kTuple:
      return {kTupleMethods, {}, {}};
    case SequenceKind::kRange:
      return {{}, kOtherRange, {}};
    case SequenceKind::kGenerator:
      return {{}, kOtherGenerator, {}};
    default:
      return {{}, kOtherView, {}};
  }
}

}  // namespace

Value replaced(Renderer& renderer, const std::string& text, const std::string& from,
               const std::string& to, std::int64_t limit) {
  // How often, before anything is made: two texts of some megabytes would make one of terabytes.
  std::uint64_t times = 0;
  if (from.empty()) {
    times = code_points(text) + 1;
  } else {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + from.size())) {
      ++times;
    }
  }
  renderer.step(text.size() / 32);
  if (limit >= 0) times = std::min(times, static_cast<std::uint64_t>(limit));
  if (times > 0 && to.size() > UINT32_MAX / times) renderer.make_room(UINT64_MAX);
  renderer.make_room(text.size() + times * to.size());
  return Value::text(replace(text, from, to, limit));
}

std::optional<Value> find_method(Renderer& renderer, const Value& self, std::string_view name) {
  const Type type = type_of(self);
  if (const auto row = std::ranges::find(type.known, name, &Row::name); row != type.known.end()) {
    return Value::object(std::make_shared<Method>(self, row->call));
  }
  if (std::ranges::find(type.forbidden, name) != type.forbidden.end()) {
    return Value::undefined("access to attribute '" + std::string(name) + "' of '" +
                            type_name(self) + "' object is unsafe.");
  }
  const bool is_other =
      std::ranges::find(type.others, name) != type.others.end() ||
      (self.is_markup() && std::ranges::find(kOtherMarkup, name) != std::end(kOtherMarkup));
  if (is_other) {
    renderer.fail(
        "the attribute '" + std::string(name) + "' of a " + type_name(self) + " is not known",
        ErrorCode::kUnsupported);
  }
  return std::nullopt;
}

}  // namespace tern::jinja
