// Which files, where their documents begin and end, and whether they are UTF-8.
#include "tern/corpus/documents.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <system_error>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/mapped_file.h"
#include "tern/base/utf8.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kTextEndings{".txt", ".text", ".raw", ".md", ".jsonl"};
constexpr std::string_view kBlanks = " \t\r\n\v\f";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_json_lines(const fs::path& file) { return file.extension() == ".jsonl"; }

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_wanted(const fs::path& file, FileKinds kinds) {
  if (kinds == FileKinds::kJsonLines) return is_json_lines(file);
  return std::ranges::find(kTextEndings, file.extension().string()) != kTextEndings.end();
}

// The files below `folder`, by relative path.
std::vector<fs::path> files_below(const fs::path& folder, FileKinds kinds) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::end(it);
       it.increment(error)) {
    std::error_code ignored;
    if (is_hidden(it->path())) {
      it.disable_recursion_pending();
      continue;
    }
    if (is_wanted(it->path(), kinds) && it->is_regular_file(ignored)) {
      names.push_back(it->path().lexically_relative(folder).generic_string());
    }
  }
  if (error) {
    throw Error(ErrorCode::kIo, folder.string() + ": cannot be read: " + error.message());
  }
  if (names.empty()) {
    throw Error(ErrorCode::kIo,
                folder.string() + ": no text file found in this directory, expected " +
                    (kinds == FileKinds::kText ? ".txt, .text, .raw, .md or .jsonl" : ".jsonl"));
  }
  std::ranges::sort(names);  // As bytes: std::string compares unsigned.
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(folder / name);
  return files;
}

// How many bytes of `text` are UTF-8 before the first that is not.
std::size_t valid_bytes(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= sizeof(std::uint64_t)) {  // Eight bytes of ASCII at once.
      std::uint64_t eight = 0;
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Utf8Char c = next_char(text, at);
    if (!c.valid) return at;
    at += c.size;
  }
  return at;
}

// The next line of `text` from `at` on, without its "\n"; `at` goes behind it.
std::string_view take_line(std::string_view text, std::size_t& at) noexcept {
  const std::size_t end = std::min(text.find('\n', at), text.size());
  const std::string_view line = text.substr(at, end - at);
  at = std::min(end + 1, text.size());
  return line;
}

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// Without blank lines at its ends and the end of its last line; blanks that indent the first line
// or end the last one stay. Empty where there is nothing but blanks.
std::string_view without_blank_lines(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  const std::size_t before = text.substr(0, first).rfind('\n');
  const std::size_t begin = before == text.npos ? 0 : before + 1;
  const std::size_t last = text.find_last_not_of(kBlanks);
  std::size_t end = std::min(text.find('\n', last), text.size());
  if (end > last + 1 && end < text.size() && text[end - 1] == '\r') --end;
  return text.substr(begin, end - begin);
}

// Gives the document with "\r\n" as "\n": one text, one way to write it.
void give_lines(std::string_view document, const std::string& where, const DocumentSink& sink) {
  if (document.find("\r\n") == document.npos) {
    sink(document, where);
    return;
  }
  std::string lines;
  lines.reserve(document.size());
  for (std::size_t i = 0; i < document.size(); ++i) {
    const bool pair = document[i] == '\r' && i + 1 < document.size() && document[i + 1] == '\n';
    if (!pair) lines += document[i];
  }
  sink(lines, where);
}

class PlainFile {
 public:
  PlainFile(const fs::path& file, std::string_view text, const std::vector<std::string>& separators)
      : name_(file.string()), whole_(text) {
    for (const std::string& separator : separators) {
      if (!trimmed(separator).empty()) separators_.push_back(trimmed(separator));
    }
  }

  void each_document(const DocumentSink& sink) {
    std::size_t at = whole_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    std::size_t begin = at;
    if (!separators_.empty()) {
      while (at < whole_.size()) {
        const std::size_t line_begin = at;
        if (!is_separator(take_line(whole_, at))) continue;
        give(begin, line_begin, sink);
        begin = at;
      }
    }
    give(begin, whole_.size(), sink);
  }

 private:
  void give(std::size_t begin, std::size_t end, const DocumentSink& sink) {
    const std::string_view text = whole_.substr(begin, end - begin);
    const std::string_view document = without_blank_lines(text);
    if (document.empty()) return;
    const std::string where = name_ + ": document " + std::to_string(++count_);
    const std::size_t valid = valid_bytes(document);
    if (valid < document.size()) {
      const auto offset = static_cast<std::size_t>(document.data() - whole_.data()) + valid;
      throw Error(ErrorCode::kCorruptFile, where + ": byte " + std::to_string(offset) +
                                               " of the file begins no UTF-8 character; expected "
                                               "text in UTF-8");
    }
    give_lines(document, where, sink);
  }

  bool is_separator(std::string_view line) const {
    return std::ranges::find(separators_, trimmed(line)) != separators_.end();
  }

  std::string name_;
  std::string_view whole_;
  std::vector<std::string_view> separators_;
  std::size_t count_ = 0;
};

void each_line(const fs::path& file, std::string_view text, const DocumentSink& sink) {
  std::size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  for (std::size_t number = 1; at < text.size(); ++number) {
    const std::string_view line = trimmed(take_line(text, at));
    if (!line.empty()) sink(line, file.string() + ": line " + std::to_string(number));
  }
}

// The document in a field of a line.
void give_field(std::string_view line, const std::string& where, const std::string& field,
                const DocumentSink& sink) {
  const Json json = parse_json(line, where);
  const auto value = json_string(json, field.c_str(), where);
  if (!value) {
    throw Error(ErrorCode::kCorruptFile,
                where + ": field '" + field + "' is missing, expected the text in it");
  }
  const std::string_view document = without_blank_lines(*value);
  if (!document.empty()) give_lines(document, where, sink);
}

std::string_view text_of(const MappedFile& file) noexcept {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

std::vector<fs::path> text_files(const TextSources& sources, FileKinds kinds) {
  std::vector<fs::path> files;
  for (const fs::path& path : sources.paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      const std::vector<fs::path> below = files_below(path, kinds);
      files.insert(files.end(), below.begin(), below.end());
    } else if (fs::is_regular_file(path, ignored)) {
      if (kinds == FileKinds::kJsonLines && !is_json_lines(path)) {
        throw Error(ErrorCode::kBadArgument,
                    path.string() + ": another kind of file found, expected .jsonl");
      }
      files.push_back(path);
    } else {
      throw Error(ErrorCode::kIo,
                  path.string() + ": nothing found there, expected a text file or a directory");
    }
  }
  return files;
}

void for_each_document(const TextSources& sources, const DocumentSink& sink) {
  for (const fs::path& path : text_files(sources)) {
    const MappedFile file(path);
    if (is_json_lines(path)) {
      each_line(path, text_of(file), [&](std::string_view line, std::string_view where) {
        give_field(line, std::string(where), sources.json_field, sink);
      });
    } else {
      PlainFile(path, text_of(file), sources.separators).each_document(sink);
    }
  }
}

void for_each_json_line(const TextSources& sources, const DocumentSink& sink) {
  for (const fs::path& path : text_files(sources, FileKinds::kJsonLines)) {
    const MappedFile file(path);
    each_line(path, text_of(file), sink);
  }
}

}  // namespace tern::corpus
