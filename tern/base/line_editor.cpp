// Keys change a text; the text is laid out and drawn anew where the old drawing stands.
#include "tern/base/line_editor.h"

#include <algorithm>

#include "tern/base/line_layout.h"

namespace tern {
namespace {

constexpr int kEscapeWait = 500;  // Milliseconds after which an Escape key was meant alone.

// Moves the cursor by `count` cells; nothing for 0, which terminals take for 1.
std::string moved(std::size_t count, char direction) {
  return count == 0 ? "" : "\033[" + std::to_string(count) + direction;
}

class Editing {
 public:
  explicit Editing(LineTerminal& terminal) : terminal_(terminal) { terminal_.begin_editing(); }
  ~Editing() { terminal_.end_editing(); }
  Editing(const Editing&) = delete;
  Editing& operator=(const Editing&) = delete;

 private:
  LineTerminal& terminal_;
};

}  // namespace

EditedLine LineEditor::read_line(std::string_view prompt) {
  using Event = TerminalInput::Event;
  const Editing editing(terminal_);
  prompt_ = prompt;
  text_.clear();
  draft_.clear();
  cursor_ = first_row_ = cursor_row_ = 0;
  place_ = history_.lines().size();
  end_ = EditedLine::End::kClosed;
  bool drawn = false;
  for (bool done = false; !done;) {
    // What comes in one go, such as a paste, is drawn once.
    const TerminalInput input = terminal_.read(!drawn ? 0 : keys_.waiting() ? kEscapeWait : -1);
    switch (input.event) {
      case Event::kQuiet:
        if (drawn) keys_.give_up();
        if (!drawn) draw();
        drawn = true;
        break;
      case Event::kResized:
        resized();
        drawn = true;
        break;
      case Event::kInterrupt:
        done = handle({KeyKind::kInterrupt, {}});
        break;
      case Event::kClosed:
        end_ = EditedLine::End::kClosed;
        done = true;
        break;
      case Event::kByte:
        if (const auto key = keys_.push(input.byte)) {
          done = handle(*key);
          drawn = false;
        }
        break;
    }
  }
  finish(end_ == EditedLine::End::kInterrupted ? "^C\r\n" : "\r\n");
  return {end_, std::move(text_)};
}

bool LineEditor::handle(const Key& key) {
  switch (key.kind) {
    case KeyKind::kEnter:
      return enter();
    case KeyKind::kInterrupt:
      end_ = EditedLine::End::kInterrupted;
      return true;
    case KeyKind::kEndOfInput:
      if (text_.empty()) {
        end_ = EditedLine::End::kClosed;
        return true;
      }
      erase(cursor_, next_place(text_, cursor_), false);
      return false;
    case KeyKind::kSuspend: {
      const std::size_t cursor = cursor_;
      finish("\r\n");
      terminal_.suspend();
      cursor_ = cursor;
      first_row_ = cursor_row_ = 0;
      return false;
    }
    case KeyKind::kClearScreen:
      terminal_.write("\033[H\033[2J");
      first_row_ = cursor_row_ = 0;
      return false;
    default:
      edit(key);
      return false;
  }
}

void LineEditor::edit(const Key& key) {
  switch (key.kind) {
    case KeyKind::kText:
      return insert(key.text);
    case KeyKind::kNewline:
      return insert("\n");
    case KeyKind::kBackspace:
      return erase(previous_place(text_, cursor_), cursor_, false);
    case KeyKind::kDelete:
      return erase(cursor_, next_place(text_, cursor_), false);
    case KeyKind::kDeleteWordLeft:
      return erase(previous_word(text_, cursor_), cursor_, true);
    case KeyKind::kDeleteWordRight:
      return erase(cursor_, next_word(text_, cursor_), true);
    case KeyKind::kKillToStart:
      return erase(line_begin(), cursor_, true);
    case KeyKind::kKillToEnd:
      return erase(cursor_, line_end(), true);
    case KeyKind::kYank:
      return insert(killed_);
    case KeyKind::kLeft:
      cursor_ = previous_place(text_, cursor_);
      break;
    case KeyKind::kRight:
      cursor_ = next_place(text_, cursor_);
      break;
    case KeyKind::kWordLeft:
      cursor_ = previous_word(text_, cursor_);
      break;
    case KeyKind::kWordRight:
      cursor_ = next_word(text_, cursor_);
      break;
    case KeyKind::kHome:
      cursor_ = line_begin();
      break;
    case KeyKind::kEnd:
      cursor_ = line_end();
      break;
    case KeyKind::kUp:
      return go_up();
    case KeyKind::kDown:
      return go_down();
    default:
      break;
  }
}

void LineEditor::insert(std::string_view text) {
  if (text_.size() + text.size() > kMostBytes) return;
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

void LineEditor::erase(std::size_t begin, std::size_t end, bool keep) {
  if (begin == end) return;
  if (keep) killed_ = text_.substr(begin, end - begin);
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

bool LineEditor::enter() {
  if (!text_.ends_with('\\')) {
    end_ = EditedLine::End::kEntered;
    return true;
  }
  text_.back() = '\n';
  cursor_ = text_.size();
  return false;
}

std::size_t LineEditor::line_begin() const noexcept {
  const std::size_t before = cursor_ == 0 ? std::string::npos : text_.rfind('\n', cursor_ - 1);
  return before == std::string::npos ? 0 : before + 1;
}

std::size_t LineEditor::line_end() const noexcept {
  return std::min(text_.find('\n', cursor_), text_.size());
}

// To the line above, about as many characters from its beginning; above the first is the history.
void LineEditor::go_up() {
  const std::size_t begin = line_begin();
  if (begin == 0) return recall(place_ == 0 ? 0 : place_ - 1);
  std::size_t steps = 0;
  for (std::size_t at = begin; at < cursor_; at = next_place(text_, at)) ++steps;
  const std::size_t last = begin - 1;
  cursor_ = last;
  cursor_ = line_begin();
  for (; steps > 0 && cursor_ < last; --steps) cursor_ = next_place(text_, cursor_);
}

void LineEditor::go_down() {
  const std::size_t begin = line_begin(), end = line_end();
  if (end == text_.size()) return recall(place_ + 1);
  std::size_t steps = 0;
  for (std::size_t at = begin; at < cursor_; at = next_place(text_, at)) ++steps;
  cursor_ = end + 1;
  const std::size_t last = line_end();
  for (; steps > 0 && cursor_ < last; --steps) cursor_ = next_place(text_, cursor_);
}

void LineEditor::recall(std::size_t place) {
  const std::vector<std::string>& lines = history_.lines();
  if (place == place_ || place > lines.size()) return;
  if (place_ == lines.size()) draft_ = text_;
  text_ = place == lines.size() ? draft_ : lines[place];
  place_ = place;
  cursor_ = text_.size();
}

void LineEditor::draw() {
  const TerminalSize size = terminal_.size();
  const LineLayout layout = lay_out(prompt_, text_, cursor_, size.columns);
  // Of a text that is taller than the screen, rows around the cursor.
  const std::size_t shown = std::min(layout.rows.size(), std::max<std::size_t>(size.rows, 1));
  const std::size_t lowest = layout.cursor_row + 1 < shown ? 0 : layout.cursor_row + 1 - shown;
  first_row_ =
      std::clamp(first_row_, lowest, std::min(layout.cursor_row, layout.rows.size() - shown));
  std::string out = "\r" + moved(cursor_row_, 'A') + "\033[J";
  for (std::size_t i = 0; i < shown; ++i) {
    const LayoutRow& row = layout.rows[first_row_ + i];
    out += row.bytes;
    // A blank in the next row makes the terminal wrap, so that it knows the rows as one line.
    if (i + 1 < shown) out += row.wrapped ? " \r" : "\r\n";
  }
  cursor_row_ = layout.cursor_row - first_row_;
  out += "\r" + moved(shown - 1 - cursor_row_, 'A') + moved(layout.cursor_column, 'C');
  terminal_.write(out);
}

// The terminal has wrapped what stands there anew: where that put the cursor's row is computed.
void LineEditor::resized() {
  const TerminalSize size = terminal_.size();
  const std::size_t row = lay_out(prompt_, text_, cursor_, size.columns).cursor_row;
  cursor_row_ = std::min(row - std::min(row, first_row_), std::max<std::size_t>(size.rows, 1) - 1);
  draw();
}

void LineEditor::finish(std::string_view mark) {
  cursor_ = text_.size();
  draw();
  terminal_.write(mark);
}

}  // namespace tern
