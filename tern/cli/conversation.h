// A conversation with a model: its messages, what the model is given for them, and answers whose
// common past is computed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"
#include "tern/base/notice.h"
#include "tern/engine/generator.h"
#include "tern/engine/token_trie.h"
#include "tern/grammar/grammar.h"
#include "tern/tokenizer/chat_template.h"

namespace tern::cli {

struct Message {
  std::string role, text;  // "user" or "assistant".
  bool operator==(const Message&) const = default;
};

// Of every answer.
struct AnswerSettings {
  engine::AnswerLimits limits;
  engine::SamplerParams sampler;  // Answer number n (from 0) is drawn with seed + n.
  std::shared_ptr<const grammar::Grammar> grammar;  // Of each answer by itself; empty: none.
};

// Who listens to an answer; see engine::GenerateRequest.
struct AnswerHooks {
  std::function<void(std::string_view)> on_text;
  std::function<bool()> keep_going;
  Progress progress;
  Notice notice;  // Messages that the model no longer sees.
};

// With a chat template the model is given what it renders. Without, the messages are one text that
// the model writes on from: each message and answer where the one before it ended, on a new line
// where it neither begins with a blank nor follows one.
//
// A conversation that outgrows the context loses its oldest messages: the model is shown those from
// a later message of the user on (a plain text: from a later place on), so that about half of the
// context is free again. messages() keeps them all.
//
// Not for several threads. What it is constructed with outlives it; `session` is empty at first
// and used by nobody else.
class Conversation {
 public:
  Conversation(const tokenizer::Tokenizer& tokenizer, model::Forward& forward,
               model::Session& session, ThreadPool& pool,
               std::optional<tokenizer::ChatTemplate> chat_template, AnswerSettings settings);

  bool has_template() const noexcept { return template_.has_value(); }

  // Adds a message of the user and the model's answer to it. An answer that was interrupted before
  // its first token leaves no trace of either, and neither does what is thrown: the template's and
  // the generator's errors, and Error(kLimit) where the message alone is too long for the context.
  engine::GenerateResult ask(std::string_view text, const AnswerHooks& hooks);
  // Another answer to the last message; what is thrown, and an interrupt before the first token,
  // leaves the old one. Throws Error(kBadArgument) where there is none.
  engine::GenerateResult ask_again(const AnswerHooks& hooks);
  // Takes the last message of the user and what followed it back; false where there is none.
  bool undo();
  void reset();  // No messages; the system prompt stays.

  // What stands before all messages; empty: nothing. Throws Error(kUnsupported) without a template.
  void set_system(std::string_view text);
  const std::string& system() const noexcept { return system_; }

  const std::vector<Message>& messages() const noexcept { return messages_; }
  // Takes over what saved_messages() gave (or a list of messages in OpenAI's form): system prompt
  // and messages. Throws Error(kCorruptFile) and changes nothing where it is something else.
  void load_messages(const Json& list);
  OrderedJson saved_messages() const;

  std::size_t context() const noexcept { return forward_.model().context(); }

 private:
  engine::GenerateResult answer(const AnswerHooks& hooks);
  std::string rendered() const;
  std::string plain_text() const;
  std::vector<std::uint32_t> tokens() const;
  std::vector<std::uint32_t> fitting_tokens(const Notice& notice);
  bool forget_oldest();
  void forget_text(std::size_t keep);
  void see_all() noexcept;

  const tokenizer::Tokenizer& tokenizer_;
  model::Forward& forward_;
  model::Session& session_;
  std::optional<tokenizer::ChatTemplate> template_;
  AnswerSettings settings_;
  engine::Generator generator_;
  std::optional<engine::TokenTrie> trie_;  // With a grammar.
  std::string system_;
  std::vector<Message> messages_;
  std::size_t first_message_ = 0;  // The first that the model sees.
  std::size_t first_byte_ = 0;     // Of plain_text(), without a template.
  std::uint64_t answers_ = 0;
  std::vector<std::uint32_t> held_;  // What the session holds: as many as its position.
};

}  // namespace tern::cli
