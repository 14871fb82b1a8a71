// A template is asked how it writes a call; answers are cut at what it wrote.
#include "tern/server/tool_calls.h"

#include <algorithm>

#include "tern/base/error.h"
#include "tern/grammar/json_schema.h"
#include "tern/server/fields.h"

namespace tern::server {
namespace {

using tokenizer::ChatInput;
using tokenizer::ChatMessage;

constexpr std::string_view kName = "probe_name", kValue = "probe_value", kText = "probe_text";
constexpr std::string_view kSpace = " \t\r\n";

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

// One tool, called by the assistant; with `text`, the assistant says that instead.
ChatInput probe(bool with_answer, bool with_call) {
  ChatInput input;
  const std::string tool = R"([{"type": "function", "function": {"name": "probe_name",
      "description": "d", "parameters": {"type": "object",
      "properties": {"probe_key": {"type": "string", "description": "d"}}}}}])";
  input.tools = jinja::parse_value(tool, "probe");
  input.messages.push_back(ChatMessage::of_text("user", "u"));
  input.add_generation_prompt = !with_answer;
  if (!with_answer) return input;
  ChatMessage answer = ChatMessage::of_text("assistant", with_call ? "" : kText);
  if (with_call) {
    answer.more.set("tool_calls", jinja::parse_value(R"([{"id": "call12345", "type": "function",
        "function": {"name": "probe_name", "arguments": {"probe_key": "probe_value"}}}])",
                                                     "probe"));
  }
  input.messages.push_back(std::move(answer));
  return input;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// The end of the JSON value that begins at `at`; npos where there is none. Strings are skipped.
std::size_t json_end(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth <= 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

std::optional<ToolCall> as_call(const OrderedJson& json) {
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) return std::nullopt;
  for (const char* key : {"arguments", "parameters"}) {
    if (!json.contains(key)) continue;
    const OrderedJson& arguments = json[key];
    if (arguments.is_object()) {
      return ToolCall{json["name"].get<std::string>(), dump_ordered_json(arguments)};
    }
    // Some models write the object into a string, as OpenAI's interface has it.
    if (arguments.is_string() && OrderedJson::accept(arguments.get<std::string>())) {
      return ToolCall{json["name"].get<std::string>(), arguments.get<std::string>()};
    }
  }
  return std::nullopt;
}

// Empty where the text is no call.
std::vector<ToolCall> as_calls(std::string_view text) {
  OrderedJson json;
  try {
    json = parse_ordered_json(trimmed(text), "call");
  } catch (const Error&) {
    return {};
  }
  std::vector<ToolCall> calls;
  const auto add = [&](const OrderedJson& one) {
    auto call = as_call(one);
    if (call) calls.push_back(std::move(*call));
    return call.has_value();
  };
  if (!json.is_array()) {
    add(json);
    return calls;
  }
  for (const OrderedJson& one : json) {
    if (!add(one)) return {};
  }
  return calls;
}

// A schema that will stand at `pointer` of another: its references to its own root are to there.
void move_references(OrderedJson& schema, const std::string& pointer) {
  if (schema.is_array()) {
    for (OrderedJson& one : schema) move_references(one, pointer);
  }
  if (!schema.is_object()) return;
  for (auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && value.get_ref<std::string&>().starts_with('#')) {
      value = "#" + pointer + value.get<std::string>().substr(1);
    } else {
      move_references(value, pointer);
    }
  }
}

}  // namespace

std::optional<ToolSyntax> find_tool_syntax(const tokenizer::ChatTemplate& chat,
                                           const tokenizer::Tokenizer& tokenizer) {
  std::string before, called, said;
  try {
    before = chat.render(probe(false, false));
    called = chat.render(probe(true, true));
    said = chat.render(probe(true, false));
  } catch (const Error&) {
    return std::nullopt;
  }
  if (before.find(kName) == std::string::npos) return std::nullopt;  // Tools are not shown.
  // The three have the prompt in common; some prompts end with more than answers begin with.
  const std::size_t start = std::min({common_prefix(before, called), common_prefix(before, said)});
  std::string_view call = std::string_view(called).substr(start);
  const std::string_view text = std::string_view(said).substr(start);
  const std::size_t at_text = text.find(kText), called_at = call.find(kName);
  if (at_text == std::string_view::npos || called_at == std::string_view::npos) return std::nullopt;
  // What begins every answer (an empty thought, say) begins no call.
  if (call.starts_with(text.substr(0, at_text))) call.remove_prefix(at_text);
  // What closes the turn after a text closes it after a call.
  const std::string_view close = text.substr(at_text + kText.size());
  if (!close.empty() && call.ends_with(close)) call.remove_suffix(close.size());
  const std::size_t at_name = call.find(kName);
  const std::size_t open = call.find_first_of("{[");
  if (open == std::string_view::npos || open > at_name) return std::nullopt;
  // A bracket may belong to a marker, as in "[TOOL_CALLS][{...": try each.
  for (std::size_t at = open; at < at_name; at = call.find_first_of("{[", at + 1)) {
    const std::size_t end = json_end(call, at);
    if (end == std::string_view::npos) continue;
    const std::string_view json = call.substr(at, end - at);
    const auto calls = as_calls(json);
    if (calls.size() != 1 || calls[0].name != kName) continue;
    if (calls[0].arguments.find(kValue) == std::string::npos) return std::nullopt;
    ToolSyntax syntax;
    syntax.begin = call.substr(0, at);
    syntax.end = call.substr(end);
    syntax.list = json.front() == '[';
    syntax.arguments_key =
        json.find("\"arguments\"") != std::string_view::npos ? "arguments" : "parameters";
    syntax.shown_begin = tokenizer.decode(tokenizer.encode(syntax.begin));
    return syntax;
  }
  return std::nullopt;
}

std::shared_ptr<const grammar::Grammar> call_grammar(const ToolSyntax& syntax,
                                                     const OrderedJson& tools) {
  OrderedJson choices = OrderedJson::array();
  for (const OrderedJson& tool : tools) {
    const OrderedJson& function = tool.at("function");
    OrderedJson call{{"type", "object"}, {"additionalProperties", false}};
    call["properties"]["name"] = {{"const", function.at("name")}};
    OrderedJson& arguments = call["properties"][syntax.arguments_key];
    arguments = function.contains("parameters") && function["parameters"].is_object()
                    ? function["parameters"]
                    : OrderedJson{{"type", "object"}};
    move_references(arguments,
                    (syntax.list ? "/items" : "") +
                        (tools.size() > 1 ? "/anyOf/" + std::to_string(choices.size()) : "") +
                        "/properties/" + syntax.arguments_key);
    call["required"] = {"name", syntax.arguments_key};
    choices.push_back(std::move(call));
  }
  OrderedJson schema = choices.size() == 1 ? choices[0] : OrderedJson{{"anyOf", choices}};
  if (syntax.list) {
    schema = {{"type", "array"}, {"items", schema}, {"minItems", 1u}, {"maxItems", 1u}};
  }
  return grammar::json_schema_to_grammar(schema);
}

ToolReader::ToolReader(const ToolSyntax& syntax, bool inside)
    : begin_(trimmed(syntax.shown_begin)),
      end_(trimmed(syntax.end)),
      inside_(inside),
      bare_(begin_.empty()) {}

std::vector<ToolReader::Piece> ToolReader::push(std::string_view text) {
  held_ += text;
  std::vector<Piece> pieces;
  for (bool more = true; more;) {
    more = false;
    if (!inside_) look_for_begin(pieces);
    if (inside_) more = take_call(pieces, false);
  }
  return pieces;
}

// Gives out what cannot be the beginning of a call.
void ToolReader::look_for_begin(std::vector<Piece>& pieces) {
  const auto give = [&](std::size_t count) {
    if (count > 0) pieces.push_back({held_.substr(0, count), std::nullopt});
    held_.erase(0, count);
  };
  if (bare_) {  // Only a whole answer can be a call.
    const std::size_t first = held_.find_first_not_of(kSpace);
    if (first == std::string::npos) return;
    if (!any_ && (held_[first] == '{' || held_[first] == '[')) {
      inside_ = true;
    } else {
      any_ = true;
      give(held_.size());
    }
    return;
  }
  const std::size_t at = held_.find(begin_);
  if (at != std::string::npos) {
    give(at);
    held_.erase(0, begin_.size());
    inside_ = begin_held_ = true;
    return;
  }
  std::size_t keep = 0;
  for (std::size_t n = std::min(begin_.size() - 1, held_.size()); n > 0 && keep == 0; --n) {
    if (held_.ends_with(std::string_view(begin_).substr(0, n))) keep = n;
  }
  give(held_.size() - keep);
}

// Takes a whole call, or at the end what is left as text; true where more may follow.
bool ToolReader::take_call(std::vector<Piece>& pieces, bool at_end) {
  std::size_t until = end_.empty() ? std::string::npos : held_.find(end_);
  if (until == std::string::npos && !at_end) return false;
  const bool closed = until != std::string::npos;
  if (!closed) until = held_.size();
  const auto calls = as_calls(std::string_view(held_).substr(0, until));
  const std::size_t taken = until + (closed ? end_.size() : 0);
  if (calls.empty()) {
    pieces.push_back({(begin_held_ ? begin_ : "") + held_.substr(0, taken), std::nullopt});
  }
  for (const ToolCall& call : calls) pieces.push_back({"", call});
  held_.erase(0, taken);
  inside_ = begin_held_ = false;
  any_ = true;
  return closed && !held_.empty();
}

std::vector<ToolReader::Piece> ToolReader::finish() {
  std::vector<Piece> pieces;
  if (inside_) {
    take_call(pieces, true);
  } else if (!held_.empty()) {
    pieces.push_back({std::move(held_), std::nullopt});
  }
  held_.clear();
  return pieces;
}

}  // namespace tern::server
