// Parsing, and the template's text with and without an answer.
#include "tern/corpus/conversations.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/utf8.h"
#include "tern/jinja/value.h"

namespace tern::corpus {
namespace {

using jinja::Value;
using tokenizer::ChatMessage;

[[noreturn]] void corrupt(std::string_view where, const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, fmt::format("{}: {}", where, what));
}

bool is_given(const Value* value) { return value != nullptr && !value->is_none(); }

// A field that must be a text.
const std::string& text_field(const jinja::Dict& fields, const char* name,
                              const std::string& where) {
  const Value* value = fields.find(name);
  if (!is_given(value)) corrupt(where, fmt::format("field '{}' is missing, expected a text", name));
  if (!value->is_string()) corrupt(where, fmt::format("field '{}' is no text", name));
  return value->as_string();
}

// OpenAI's "weight" of an answer: 0 or 1.
bool is_learnt(const ChatMessage& message, const Value* weight, const std::string& where) {
  if (message.role != "assistant") return false;
  if (!is_given(weight)) return true;
  if (weight->is_number()) {
    if (weight->as_double() == 0) return false;
    if (weight->as_double() == 1) return true;
  }
  corrupt(where, "field 'weight' is neither 0 nor 1");
}

Conversation::Message parse_message(const Value& value, const std::string& where) {
  if (value.kind() != jinja::Kind::kDict) {
    corrupt(where, "found no object, expected one with role and content");
  }
  const jinja::Dict& fields = value.as_dict();
  if (is_given(fields.find("tool_calls")) || is_given(fields.find("function_call"))) {
    throw Error(ErrorCode::kUnsupported,
                where + ": calls of tools found, expected messages of text alone");
  }
  Conversation::Message message;
  message.chat.role = text_field(fields, "role", where);
  if (message.chat.role.empty()) corrupt(where, "field 'role' is empty");
  message.chat.content = Value::text(text_field(fields, "content", where));
  for (const auto& [key, more] : fields.entries()) {
    const std::string& name = key.as_string();
    if (name != "role" && name != "content" && name != "weight" && !more.is_none()) {
      message.chat.more.set(key, more);
    }
  }
  message.learnt = is_learnt(message.chat, fields.find("weight"), where);
  return message;
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string_view content_of(const ChatMessage& message) { return message.content.as_string(); }

// The beginning of a text, for a sentence.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 40;
  const bool cut = text.size() > kShown;
  return dump_json(Json(valid_utf8(text.substr(0, kShown)) + (cut ? "..." : "")));
}

std::string of_message(std::string_view where, std::size_t number) {
  return fmt::format("{}: message {}", where, number);
}

}  // namespace

Conversation parse_conversation(std::string_view line, const std::string& field,
                                std::string_view where) {
  const std::string place(where);
  if (line.size() > kLongestLine) {
    throw Error(ErrorCode::kLimit, fmt::format("{}: {} bytes found, expected at most {}", where,
                                               line.size(), kLongestLine));
  }
  const Value whole = jinja::parse_value(line, place);
  if (whole.kind() != jinja::Kind::kDict) corrupt(where, "found no object, expected one");
  const Value* tools = whole.as_dict().find("tools");
  if (is_given(tools) && !(tools->is_list() && tools->as_sequence().items.empty())) {
    throw Error(ErrorCode::kUnsupported, place + ": tools found, expected messages of text alone");
  }
  const Value* list = whole.as_dict().find(field);
  if (!is_given(list)) {
    corrupt(where, fmt::format("field '{}' is missing, expected the messages in it", field));
  }
  if (!list->is_list()) {
    corrupt(where, fmt::format("field '{}' is no list, expected one of messages", field));
  }
  const std::vector<Value>& items = list->as_sequence().items;
  if (items.size() > kMostMessages) {
    throw Error(ErrorCode::kLimit, fmt::format("{}: {} messages found, expected at most {}", where,
                                               items.size(), kMostMessages));
  }
  Conversation conversation;
  bool any = false;
  for (const Value& item : items) {
    const std::string name = of_message(where, conversation.messages.size());
    conversation.messages.push_back(parse_message(item, name));
    any = any || conversation.messages.back().learnt;
  }
  if (!any) corrupt(where, "no message of the assistant found to learn, expected one at least");
  return conversation;
}

std::uint64_t Example::target_count() const noexcept {
  return static_cast<std::uint64_t>(std::count(targets.begin(), targets.end(), true));
}

ExampleMaker::ExampleMaker(const tokenizer::Tokenizer& tokenizer,
                           const tokenizer::ChatTemplate& chat)
    : tokenizer_(tokenizer), chat_(chat) {
  for (const std::uint32_t id : tokenizer.data().end_ids) {
    if (std::string text = tokenizer.piece(id, true); !text.empty()) {
      ends_.push_back(std::move(text));
    }
  }
}

std::vector<Example> ExampleMaker::make(const Conversation& conversation, std::string_view where) {
  std::vector<Example> examples;
  std::string seen;  // The text of the last example.
  Messages messages;
  std::size_t asked = 0;  // The first message since the last answer that is learnt.
  for (const Conversation::Message& message : conversation.messages) {
    messages.push_back(message.chat);
    if (!message.learnt) continue;
    const std::size_t number = messages.size() - 1;
    const std::string place = of_message(where, number);
    const Answer found = answer(messages, place);
    check_heard(messages, asked, number, found.prompt, where);
    asked = messages.size();
    try {
      if (examples.empty() || !found.prompt.starts_with(seen)) {
        examples.emplace_back();
        seen.clear();
      }
      Example& example = examples.back();
      extend(example, seen, found.prompt, false);
      seen = found.prompt + found.words;
      extend(example, found.prompt, seen, true);
      example.answer_bytes += found.words.size() - found.end_bytes;
      if (!found.ended || !tokenizer_.is_end(example.ids.back())) ++without_end_;
    } catch (const Error& e) {  // A byte that the vocabulary cannot spell.
      throw with_context(place, e);
    }
  }
  if (examples.size() > 1) ++split_;
  // Nothing stands before the first token from which it could be predicted.
  for (Example& example : examples) {
    if (!example.targets.empty()) example.targets.front() = false;
  }
  std::erase_if(examples, [](const Example& example) { return example.target_count() == 0; });
  return examples;
}

std::string ExampleMaker::render(const Messages& messages, bool prompt,
                                 const std::string& where) const {
  tokenizer::ChatInput input;
  input.messages = messages;
  input.add_generation_prompt = prompt;
  try {
    return chat_.render(input);
  } catch (const Error& e) {
    throw with_context(where + ": the chat template refuses the conversation up to it", e);
  }
}

// Whether a message decides anything of the text that the template makes of `messages`. A text is
// looked for where a role is one that every template knows; else another content must give another
// text.
bool ExampleMaker::heard(const Messages& messages, std::size_t message, bool prompt,
                         const std::string& text) const {
  const std::string_view content = trimmed(content_of(messages[message]));
  const std::string& role = messages[message].role;
  if (content.empty()) return true;
  if ((role == "user" || role == "assistant") && text.find(content) != text.npos) return true;
  Messages others = messages;
  others[message].content = Value::text("?" + std::string(content));
  try {
    return render(others, prompt, "") != text;
  } catch (const Error&) {
    return true;  // The content decides whether the template takes it.
  }
}

void ExampleMaker::check_heard(const Messages& messages, std::size_t from, std::size_t to,
                               const std::string& prompt, std::string_view where) const {
  const Messages before(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(to));
  for (std::size_t i = from; i < to; ++i) {
    if (heard(before, i, true, prompt)) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the chat template leaves this message of the {} out, expected "
                            "roles that it knows",
                            of_message(where, i), messages[i].role));
  }
}

// Of the last message.
ExampleMaker::Answer ExampleMaker::answer(const Messages& messages,
                                          const std::string& where) const {
  const Messages before(messages.begin(), messages.end() - 1);
  std::string prompt = render(before, true, where);
  const std::string whole = render(messages, false, where);
  if (!whole.starts_with(prompt)) {
    const auto differs = std::ranges::mismatch(prompt, whole);
    const auto same = static_cast<std::size_t>(differs.in1 - prompt.begin());
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the chat template asks for an answer with {}, but writes this "
                            "answer with {} in that place, so that the assistant's words cannot be "
                            "told from the rest",
                            where, quoted(std::string_view(prompt).substr(same)),
                            quoted(std::string_view(whole).substr(same))));
  }
  const std::string_view rest = std::string_view(whole).substr(prompt.size());
  if (rest.empty() || !heard(messages, messages.size() - 1, false, whole)) {
    throw Error(ErrorCode::kUnsupported,
                where + ": the chat template leaves this answer out, expected its words");
  }
  return cut_at_end(std::move(prompt), rest, trimmed(content_of(messages.back())));
}

ExampleMaker::Answer ExampleMaker::cut_at_end(std::string prompt, std::string_view rest,
                                              std::string_view content) const {
  // What the words themselves spell out ends nothing for a template.
  const std::size_t words = rest.find(content);
  const std::size_t from = words == rest.npos ? 0 : words + content.size();
  std::size_t first = rest.npos, bytes = 0;
  for (const std::string& end : ends_) {
    const std::size_t at = rest.find(end, from);
    if (at < first || (at == first && at != rest.npos && end.size() > bytes)) {
      first = at;
      bytes = end.size();
    }
  }
  Answer answer;
  answer.prompt = std::move(prompt);
  answer.ended = first != rest.npos;
  answer.end_bytes = answer.ended ? bytes : 0;
  answer.words = rest.substr(0, answer.ended ? first + bytes : rest.npos);
  return answer;
}

// Adds the ids of what `text` has more than `seen`, which is the text of the ids so far.
void ExampleMaker::extend(Example& example, const std::string& seen, const std::string& text,
                          bool target) const {
  if (text.size() == seen.size()) return;
  std::vector<std::uint32_t> ids = tokenizer_.encode(text);
  const bool goes_on = ids.size() >= example.ids.size() &&
                       std::equal(example.ids.begin(), example.ids.end(), ids.begin());
  if (goes_on) {
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(example.ids.size()));
  } else {
    ids = tokenizer_.encode_continued(example.ids, std::string_view(text).substr(seen.size()));
  }
  example.ids.insert(example.ids.end(), ids.begin(), ids.end());
  example.targets.resize(example.ids.size(), target);
}

}  // namespace tern::corpus
