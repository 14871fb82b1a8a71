// Editing one message on a terminal: arrows, words, history, several lines, bracketed paste.
//
// What the keys do stands in docs/chat.md. Nothing here calls the system: the terminal is an
// interface (terminal.h has the real one), so that tests can be one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "tern/base/key_decoder.h"
#include "tern/base/line_history.h"

namespace tern {

struct TerminalSize {
  std::size_t columns = 80, rows = 24;
};

struct TerminalInput {
  enum class Event {
    kByte,
    kQuiet,      // Nothing came in the time given.
    kResized,    // The size may have changed, or the screen is not what it was.
    kInterrupt,  // SIGINT came, not as a key.
    kClosed,     // There will be no more.
  };
  Event event = Event::kClosed;
  unsigned char byte = 0;
};

// A terminal that understands what a VT100 does: CR, LF, cursor up and right, erase to the end.
class LineTerminal {
 public:
  virtual ~LineTerminal() = default;
  // Between these every key comes as its bytes, none is shown by the system.
  virtual void begin_editing() = 0;
  virtual void end_editing() noexcept = 0;
  // The next byte; waits at most `milliseconds`, without limit where that is negative.
  virtual TerminalInput read(int milliseconds) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual TerminalSize size() = 0;
  virtual void suspend() = 0;  // Ctrl-Z: returns when the program goes on.
};

struct EditedLine {
  enum class End {
    kEntered,      // `text` is what was typed; its lines are separated by line feeds.
    kInterrupted,  // Ctrl-C; `text` is what stood there, which is dropped.
    kClosed,       // Ctrl-D in an empty line, or the terminal is gone.
  };
  End end = End::kClosed;
  std::string text;  // Valid UTF-8.
};

// Not for several threads. `terminal` and `history` outlive it.
class LineEditor {
 public:
  static constexpr std::size_t kMostBytes = 1 << 20;  // Of one text; more is not taken.

  LineEditor(LineTerminal& terminal, LineHistory& history)
      : terminal_(terminal), history_(history) {}

  // Requires the cursor in the first column; it is there again afterwards. `prompt` is printable
  // ASCII. What is entered is not added to the history here. The terminal's editing mode ends
  // whatever happens. Throws what `terminal` throws.
  EditedLine read_line(std::string_view prompt);

 private:
  bool handle(const Key& key);  // True: the line is at its end, as end_ says.
  void edit(const Key& key);
  void insert(std::string_view text);
  void erase(std::size_t begin, std::size_t end, bool keep);
  bool enter();  // False: the line goes on.
  void go_up();
  void go_down();
  void recall(std::size_t place);
  std::size_t line_begin() const noexcept;
  std::size_t line_end() const noexcept;
  void draw();
  void resized();
  void finish(std::string_view mark);

  LineTerminal& terminal_;
  LineHistory& history_;
  KeyDecoder keys_;
  std::string prompt_, text_, killed_;
  std::size_t cursor_ = 0;
  EditedLine::End end_ = EditedLine::End::kClosed;
  // In the history: its size means the draft, which waits while older lines are looked at.
  std::size_t place_ = 0;
  std::string draft_;
  // On the screen: the first row of the layout that is shown, and the cursor's row below it.
  std::size_t first_row_ = 0, cursor_row_ = 0;
};

}  // namespace tern
