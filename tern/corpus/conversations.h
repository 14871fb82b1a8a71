// Conversations from lines of JSON, and what of them a model is to learn: the assistant's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/chat_template.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::corpus {

struct Conversation {
  struct Message {
    tokenizer::ChatMessage chat;  // Its content is a text.
    bool learnt = false;  // The assistant's, unless its field "weight" is 0 (as OpenAI has it).
  };
  std::vector<Message> messages;  // One that is learnt at least.
};

// A longer line, or one of more messages, is refused.
inline constexpr std::size_t kLongestLine = std::size_t{1} << 26;  // Bytes.
inline constexpr std::size_t kMostMessages = 4096;

// {"<field>": [{"role": "user", "content": "..."}, ...]}. Other fields of the line are left alone;
// other fields of a message go to the template. Throws Error with `where` in front: kCorruptFile
// for anything else, kUnsupported for tools and calls, kLimit.
Conversation parse_conversation(std::string_view line, const std::string& field,
                                std::string_view where);

// Tokens of a conversation, or of a part of it that begins with its first message.
struct Example {
  std::vector<std::uint32_t> ids;
  // One for each id: it is to be predicted from those before it. Never the first; the last always.
  std::vector<bool> targets;
  std::uint64_t answer_bytes = 0;  // UTF-8 behind the targets, end tokens not counted.

  std::uint64_t target_count() const noexcept;
};

// What conversations become. The assistant's words of message i are what the template's text of
// messages 0 ... i has more than its text of messages 0 ... i-1 with the prompt for an answer
// (add_generation_prompt): the words themselves, what the template puts before them (an empty block
// of thoughts), and the end token behind them, which is the first after the words; what follows it
// (a line feed) nobody has to predict. Where the template has no end token there, all of it is
// learnt.
//
// Texts become ids as the engine makes them, special tokens parsed: the prompt, and after it the
// answer: the ids that the whole text has behind those of the prompt; where the whole text's ids do
// not begin with the prompt's (a token would reach across the border), the answer's own. The same
// for each further prompt and answer.
//
// A conversation is one example, as long as the template's text only grows. Where it writes earlier
// answers in another way than the last (Qwen3 drops their thoughts), a new example begins with the
// text as it stands before the answer, so that every answer is learnt once, after what a model sees
// before it.
//
// Not for several threads. Tokenizer and template outlive it.
class ExampleMaker {
 public:
  ExampleMaker(const tokenizer::Tokenizer& tokenizer, const tokenizer::ChatTemplate& chat);

  // Throws Error with `where` and the message's number in front, where the template refuses the
  // conversation (kBadArgument), or where it cannot be told what is the assistant's, or a message
  // leaves no trace in the text (kUnsupported).
  std::vector<Example> make(const Conversation& conversation, std::string_view where);

  // Of all conversations so far.
  std::uint64_t answers_without_end() const noexcept { return without_end_; }
  std::uint64_t conversations_split() const noexcept { return split_; }

 private:
  struct Answer {
    std::string prompt, words;  // The template's text before the answer, and what is learnt.
    bool ended = false;         // `words` ends with an end token.
    std::size_t end_bytes = 0;  // So long.
  };
  using Messages = std::vector<tokenizer::ChatMessage>;

  std::string render(const Messages& messages, bool prompt, const std::string& where) const;
  bool heard(const Messages& messages, std::size_t message, bool prompt,
             const std::string& text) const;
  void check_heard(const Messages& messages, std::size_t from, std::size_t to,
                   const std::string& prompt, std::string_view where) const;
  Answer answer(const Messages& messages, const std::string& where) const;
  Answer cut_at_end(std::string prompt, std::string_view rest, std::string_view content) const;
  void extend(Example& example, const std::string& seen, const std::string& text,
              bool target) const;

  const tokenizer::Tokenizer& tokenizer_;
  const tokenizer::ChatTemplate& chat_;
  std::vector<std::string> ends_;  // The end tokens as a text spells them.
  std::uint64_t without_end_ = 0, split_ = 0;
};

}  // namespace tern::corpus
