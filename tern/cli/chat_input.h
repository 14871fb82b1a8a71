// Where a conversation's lines come from: a person at a terminal, or a pipe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tern/base/line_editor.h"

namespace tern::cli {

class ChatInput {
 public:
  virtual ~ChatInput() = default;
  virtual EditedLine next() = 0;                     // Ends at the latest with kClosed.
  virtual void remember(std::string_view line) = 0;  // For the history.
  // Around an answer: Ctrl-C is then asked for by interrupted() instead of ending the program.
  virtual void begin_answer() = 0;
  virtual void end_answer() = 0;
  virtual bool interrupted() const = 0;  // Of the last answer, too.
  // Somebody reads what is said, and may go on after a mistake.
  virtual bool interactive() const = 0;
};

// The line editor where stdin and stderr are a terminal; else stdin line by line, without a prompt.
// `with_history`: the editor keeps what is typed in a file (default_history_file()).
std::unique_ptr<ChatInput> open_chat_input(bool with_history);

}  // namespace tern::cli
