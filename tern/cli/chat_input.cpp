// The terminal's editor, and plain lines.
#include "tern/cli/chat_input.h"

#include <iostream>
#include <optional>

#include "tern/base/error.h"
#include "tern/base/line_history.h"
#include "tern/base/system.h"
#include "tern/base/terminal.h"
#include "tern/base/utf8.h"
#include "tern/cli/console.h"

namespace tern::cli {
namespace {

LineHistory open_history(bool with_history) {
  const auto file = with_history ? default_history_file() : std::nullopt;
  if (!file) return {};
  try {
    return LineHistory(*file);
  } catch (const Error& e) {
    say(std::string(e.what()) + "; this conversation goes without a history");
    return {};
  }
}

class EditedInput : public ChatInput {
 public:
  explicit EditedInput(bool with_history)
      : history_(open_history(with_history)), editor_(terminal_, history_) {}

  EditedLine next() override { return editor_.read_line("> "); }
  void remember(std::string_view line) override {
    try {
      history_.add(line);
    } catch (const Error& e) {
      if (!said_) say(e.what());
      said_ = true;
    }
  }
  void begin_answer() override {
    Terminal::clear_interrupt();
    interrupted_ = false;
  }
  void end_answer() override {
    interrupted_ = Terminal::interrupted();
    Terminal::clear_interrupt();
  }
  bool interrupted() const override { return interrupted_ || Terminal::interrupted(); }
  bool interactive() const override { return true; }

 private:
  LineHistory history_;
  Terminal terminal_;
  LineEditor editor_;
  bool interrupted_ = false, said_ = false;
};

class PlainInput : public ChatInput {
 public:
  EditedLine next() override {
    std::string line;
    if (!std::getline(std::cin, line)) return {};
    if (line.ends_with('\r')) line.pop_back();
    return {EditedLine::End::kEntered, valid_utf8(line)};
  }
  void remember(std::string_view) override {}
  void begin_answer() override {
    interrupted_ = false;
    guard_.emplace();
  }
  void end_answer() override {
    interrupted_ = InterruptGuard::pressed();
    guard_.reset();
  }
  bool interrupted() const override {
    return interrupted_ || (guard_ && InterruptGuard::pressed());
  }
  bool interactive() const override { return stdin_is_terminal(); }

 private:
  std::optional<InterruptGuard> guard_;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<ChatInput> open_chat_input(bool with_history) {
  if (Terminal::usable()) return std::make_unique<EditedInput>(with_history);
  return std::make_unique<PlainInput>();
}

}  // namespace tern::cli
