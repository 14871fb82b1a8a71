// Messages to tokens, tokens to an answer, and what to forget.
#include "tern/cli/conversation.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "tern/base/error.h"
#include "tern/tokenizer/prompt_tokens.h"

namespace tern::cli {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// What a plain text has between what stands there and what comes.
bool needs_line_break(std::string_view before, const Message& next) {
  return next.role == "user" && !next.text.empty() && !before.empty() && !is_blank(before.back()) &&
         !is_blank(next.text.front());
}

Message parse_message(const Json& item, std::size_t number) {
  const std::string what = fmt::format("message {}", number);
  if (!item.is_object()) {
    throw Error(ErrorCode::kCorruptFile, what + ": found no object, expected role and content");
  }
  const auto role = json_string(item, "role", what);
  const auto content = json_string(item, "content", what);
  if (!role || !content) {
    throw Error(ErrorCode::kCorruptFile, what + ": role or content is missing, expected both");
  }
  return {*role, *content};
}

}  // namespace

Conversation::Conversation(const tokenizer::Tokenizer& tokenizer, model::Forward& forward,
                           model::Session& session, ThreadPool& pool,
                           std::optional<tokenizer::ChatTemplate> chat_template,
                           AnswerSettings settings)
    : tokenizer_(tokenizer),
      forward_(forward),
      session_(session),
      template_(std::move(chat_template)),
      settings_(std::move(settings)),
      generator_(tokenizer, forward, session, pool) {
  if (settings_.grammar) trie_.emplace(tokenizer_);
}

engine::GenerateResult Conversation::ask(std::string_view text, const AnswerHooks& hooks) {
  messages_.push_back({"user", std::string(text)});
  try {
    engine::GenerateResult result = answer(hooks);
    if (messages_.back().role == "user") messages_.pop_back();
    return result;
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

engine::GenerateResult Conversation::ask_again(const AnswerHooks& hooks) {
  if (messages_.empty() || messages_.back().role != "assistant") {
    throw Error(ErrorCode::kBadArgument, "no answer found that could be made again");
  }
  Message old = std::move(messages_.back());
  messages_.pop_back();
  try {
    engine::GenerateResult result = answer(hooks);
    if (messages_.back().role == "user") messages_.push_back(std::move(old));
    return result;
  } catch (...) {
    messages_.push_back(std::move(old));
    throw;
  }
}

bool Conversation::undo() {
  const auto last = std::find_if(messages_.rbegin(), messages_.rend(),
                                 [](const Message& m) { return m.role == "user"; });
  if (last == messages_.rend()) return false;
  messages_.erase(last.base() - 1, messages_.end());
  see_all();
  return true;
}

void Conversation::reset() {
  messages_.clear();
  see_all();
}

void Conversation::set_system(std::string_view text) {
  if (!template_ && !text.empty()) {
    throw Error(ErrorCode::kUnsupported,
                "a system prompt needs a model with a chat template, and this one has none");
  }
  system_ = text;
  see_all();
}

void Conversation::load_messages(const Json& list) {
  if (!list.is_array()) {
    throw Error(ErrorCode::kCorruptFile, "messages: found no list, expected one of messages");
  }
  std::string system;
  std::vector<Message> messages;
  for (const Json& item : list) {
    Message message = parse_message(item, messages.size());
    const bool first = &item == &list.front();
    if (message.role == "system" && first) {
      system = std::move(message.text);
    } else if (message.role == "user" || message.role == "assistant") {
      messages.push_back(std::move(message));
    } else {
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("message {}: role '{}' found, expected user or assistant (or system, "
                              "first of all)",
                              messages.size(), message.role));
    }
  }
  set_system(system);
  messages_ = std::move(messages);
  see_all();
}

OrderedJson Conversation::saved_messages() const {
  OrderedJson list = OrderedJson::array();
  if (!system_.empty()) list.push_back({{"role", "system"}, {"content", system_}});
  for (const Message& m : messages_) list.push_back({{"role", m.role}, {"content", m.text}});
  return list;
}

engine::GenerateResult Conversation::answer(const AnswerHooks& hooks) {
  std::vector<std::uint32_t> ids = fitting_tokens(hooks.notice);
  // At least one token is run: its hidden state is what the answer begins with.
  const auto differs = std::ranges::mismatch(ids, held_);
  const std::size_t common =
      std::min(static_cast<std::size_t>(differs.in1 - ids.begin()), ids.size() - 1);
  session_.truncate(common);
  held_.resize(common);

  engine::GenerateRequest request;
  request.past = held_;
  request.prompt = std::span(ids).subspan(common);
  request.limits = settings_.limits;
  request.limits.at_text_start = !template_ && plain_text().empty();
  request.sampler = settings_.sampler;
  request.sampler.seed += answers_;
  request.on_text = hooks.on_text;
  request.keep_going = hooks.keep_going;
  request.progress = hooks.progress;
  std::optional<engine::Constraint> constraint;
  if (settings_.grammar) {
    constraint.emplace(*trie_, settings_.grammar,
                       request.limits.at_text_start && tokenizer_.data().add_space_prefix);
    request.constraint = &*constraint;
  }
  engine::GenerateResult result;
  try {
    result = generator_.generate(request);
  } catch (...) {
    session_.truncate(common);
    throw;
  }
  held_ = std::move(ids);
  held_.insert(held_.end(), result.tokens.begin(), result.tokens.end());
  held_.resize(session_.position());  // The last token is drawn, but not run.
  if (result.reason == engine::StopReason::kInterrupted && result.tokens.empty()) return result;
  messages_.push_back({"assistant", result.text});
  ++answers_;
  return result;
}

std::string Conversation::rendered() const {
  tokenizer::ChatInput input;
  if (!system_.empty()) {
    input.messages.push_back(tokenizer::ChatMessage::of_text("system", system_));
  }
  for (std::size_t i = first_message_; i < messages_.size(); ++i) {
    input.messages.push_back(tokenizer::ChatMessage::of_text(messages_[i].role, messages_[i].text));
  }
  return template_->render(input);
}

std::string Conversation::plain_text() const {
  std::string text;
  for (const Message& m : messages_) {
    if (needs_line_break(text, m)) text += '\n';
    text += m.text;
  }
  return text;
}

std::vector<std::uint32_t> Conversation::tokens() const {
  if (!template_) return tokenizer::prompt_tokens(tokenizer_, plain_text().substr(first_byte_));
  std::vector<std::uint32_t> ids = tokenizer_.encode(rendered());
  if (ids.empty()) ids = tokenizer::prompt_tokens(tokenizer_, "");
  return ids;
}

// Room for an answer counts too: an eighth of the context, or what the answer may be long.
std::vector<std::uint32_t> Conversation::fitting_tokens(const Notice& notice) {
  std::vector<std::uint32_t> ids = tokens();
  const std::size_t whole = context();
  const std::size_t room =
      std::clamp<std::size_t>(whole / 8, 1, std::max<std::size_t>(settings_.limits.max_tokens, 1));
  if (ids.size() + room <= whole) return ids;
  const std::size_t keep = whole / 2;
  const std::size_t message_before = first_message_, byte_before = first_byte_;
  bool forgot = false;
  if (template_) {
    while (ids.size() > keep && forget_oldest()) {
      forgot = true;
      ids = tokens();
    }
  } else if (messages_.size() > 1) {
    forget_text(keep);
    forgot = true;
    ids = tokens();
  }
  if (ids.size() >= whole) {
    first_message_ = message_before;
    first_byte_ = byte_before;
    throw Error(ErrorCode::kLimit,
                fmt::format("a message found that makes {} tokens with what must stand before it, "
                            "expected fewer than the context of {} (-c)",
                            ids.size(), whole));
  }
  if (forgot) {
    notify(notice, template_ ? fmt::format("the context of {} tokens is full: the model no longer "
                                           "sees the first {} messages",
                                           whole, first_message_)
                             : fmt::format("the context of {} tokens is full: the model sees only "
                                           "the last {} of the text",
                                           whole, ids.size()));
  }
  return ids;
}

// From the next message of the user on; false where that is the last.
bool Conversation::forget_oldest() {
  for (std::size_t i = first_message_ + 1; i < messages_.size(); ++i) {
    if (messages_[i].role != "user") continue;
    first_message_ = i;
    return true;
  }
  return false;
}

// The last `keep` tokens of a plain text, from the beginning of a character on.
void Conversation::forget_text(std::size_t keep) {
  const std::string text = plain_text();
  const std::vector<std::uint32_t> ids = tokenizer_.encode(text);
  std::size_t bytes = 0;
  for (std::size_t i = ids.size() - std::min(keep, ids.size()); i < ids.size(); ++i) {
    bytes += tokenizer_.piece(ids[i], true).size();
  }
  first_byte_ = text.size() - std::min(bytes, text.size());
  while (first_byte_ < text.size() &&
         (static_cast<unsigned char>(text[first_byte_]) & 0xC0) == 0x80) {
    ++first_byte_;
  }
}

void Conversation::see_all() noexcept { first_message_ = first_byte_ = 0; }

}  // namespace tern::cli
