// A file that grows by a line, and is cut when it has too many.
#include "tern/base/line_history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/utf8.h"

namespace tern {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing) {
  const std::string reason = std::generic_category().message(errno);
  throw Error(ErrorCode::kIo, path.string() + ": cannot " + doing + ": " + reason);
}

std::string escaped(std::string_view line) {
  std::string out;
  for (const char c : line) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string unescaped(std::string_view line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      ++i;
      out += line[i] == 'n' ? '\n' : line[i];
    } else {
      out += line[i];
    }
  }
  return valid_utf8(out);
}

std::vector<std::string> read_lines(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return lines;
  const std::string text = read_text_file(file, 1u << 26);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(unescaped(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

void keep_newest(std::vector<std::string>& lines) {
  if (lines.size() <= LineHistory::kMost) return;
  lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(LineHistory::kMost));
}

// One write at the end, so that lines of two programs never mix.
void append_line(const std::filesystem::path& file, const std::string& line) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) fail(file, "write");
  const bool written = ::fchmod(fd, 0600) == 0 &&
                       ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int reason = errno;
  ::close(fd);
  errno = reason;
  if (!written) fail(file, "write");
}

// A new file in its place, so that a crash in between leaves one of the two.
void replace_file(const std::filesystem::path& file, const std::vector<std::string>& lines) {
  std::filesystem::path fresh = file;
  fresh += ".new-" + std::to_string(process_id());
  std::string text;
  for (const std::string& line : lines) text += escaped(line) + '\n';
  ::unlink(fresh.c_str());
  append_line(fresh, text);
  if (::rename(fresh.c_str(), file.c_str()) != 0) fail(file, "write");
}

}  // namespace

LineHistory::LineHistory(std::filesystem::path file) : file_(std::move(file)) {
  lines_ = read_lines(*file_);
  keep_newest(lines_);
}

void LineHistory::add(std::string_view line) {
  if (line.find_first_not_of(" \t\n") == std::string_view::npos) return;
  if (!lines_.empty() && lines_.back() == line) return;
  lines_.emplace_back(line);
  keep_newest(lines_);
  if (!file_) return;
  if (file_->has_parent_path()) {
    std::error_code error;
    const bool made = std::filesystem::create_directories(file_->parent_path(), error);
    if (error) {
      throw Error(ErrorCode::kIo, file_->string() + ": cannot make its folder: " + error.message());
    }
    if (made) ::chmod(file_->parent_path().c_str(), 0700);
  }
  append_line(*file_, escaped(line) + '\n');
  // Another program may have written too: what counts is the file.
  std::vector<std::string> all = read_lines(*file_);
  if (all.size() <= kMost) return;
  keep_newest(all);
  replace_file(*file_, all);
}

std::optional<std::filesystem::path> default_history_file() {
  const auto state = environment("XDG_STATE_HOME");
  if (state && std::filesystem::path(*state).is_absolute()) {
    return std::filesystem::path(*state) / "tern" / "history";
  }
  const auto home = environment("HOME");
  if (!home || home->empty()) return std::nullopt;
  return std::filesystem::path(*home) / ".local" / "state" / "tern" / "history";
}

}  // namespace tern
