// Text files as a sequence of documents, in an order that depends on nothing but their names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::corpus {

struct TextSources {
  // Files, or directories read recursively in the byte order of their relative paths (.txt, .text,
  // .raw and .md as plain text, .jsonl as JSON lines; other files in a directory are passed over,
  // hidden ones too). A file named itself is plain text unless it ends in .jsonl.
  std::vector<std::filesystem::path> paths;
  // A line that is nothing but one of these (blanks around it aside) stands between documents of a
  // plain file, as "<|endoftext|>" does in TinyStories; none: a file is one document.
  std::vector<std::string> separators;
  std::string json_field = "text";  // Of each line of a .jsonl.
};

enum class FileKinds {
  kText,       // As `TextSources::paths` says.
  kJsonLines,  // .jsonl alone: anything else in a directory is passed over, named itself refused.
};

// The files behind `sources`, in order. Throws Error(kIo) for a path that does not exist or a
// directory without any such file, Error(kBadArgument) for a file of another kind.
std::vector<std::filesystem::path> text_files(const TextSources& sources,
                                              FileKinds kinds = FileKinds::kText);

// Calls `sink` with each document that is not blank, "\r\n" as "\n"; blank lines at
// its ends and the end of its last line are taken off, and a byte order mark in front of the file.
// `where` is "file.txt: document 3" or "file.jsonl: line 7", for messages. Files are mapped, never
// held whole in memory twice. Throws Error(kCorruptFile) for text that is not UTF-8, a line that is
// no JSON object or lacks the field, naming the place.
using DocumentSink = std::function<void(std::string_view document, std::string_view where)>;
void for_each_document(const TextSources& sources, const DocumentSink& sink);

// Calls `sink` with each line that is not blank of the .jsonl files behind `sources`, without
// blanks at its ends, unparsed. `where` is "file.jsonl: line 7".
void for_each_json_line(const TextSources& sources, const DocumentSink& sink);

}  // namespace tern::corpus
