// Conversations as token ids in memory-mapped files, with the ids that are to be learnt: tokenised
// once, read by every later part of a run (docs/formats/conversation_shards.md).
//
// A folder holds what one of token shards does, but that its documents are examples (see
// conversations.h) as the chat template writes them, and besides for each split
// <split>-targets.bin, a bit for each id: it is to be predicted; and <split>-examples.bin, where
// each example begins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "tern/base/mapped_file.h"
#include "tern/base/notice.h"
#include "tern/corpus/token_shards.h"

namespace tern::corpus {

// One split of a folder. Const after opening, shared by threads.
class ConversationShards {
 public:
  // Throws Error(kIo) where there is no such folder, Error(kCorruptFile) where index and files
  // disagree, an id is outside the vocabulary, or an example is none.
  ConversationShards(const std::filesystem::path& folder, Split split);
  ~ConversationShards();
  ConversationShards(ConversationShards&&) noexcept;
  ConversationShards& operator=(ConversationShards&&) noexcept;

  std::uint64_t conversations() const noexcept { return conversations_; }
  std::uint64_t tokens() const noexcept;
  std::uint64_t targets() const noexcept { return targets_; }  // Ids that are to be predicted.
  // Bytes of UTF-8 behind the targets, end tokens not counted.
  std::uint64_t target_bytes() const noexcept { return target_bytes_; }
  // Of all ids, targets and examples in order: a run that goes on must go on with the same ones.
  std::uint64_t content_hash() const noexcept { return content_hash_; }

  // An example is ids [begin, end), two at least; its first is no target, its last is one.
  std::uint64_t examples() const noexcept { return examples_; }
  std::uint64_t begin(std::uint64_t example) const noexcept;  // begin(examples()) is tokens().
  std::uint64_t end(std::uint64_t example) const noexcept { return begin(example + 1); }

  // Both require that the ids exist.
  void read(std::uint64_t begin, std::span<std::int64_t> out) const;
  bool is_target(std::uint64_t id) const noexcept;  // By its place.

 private:
  void check_examples(const std::filesystem::path& path) const;
  void check_targets(const std::filesystem::path& path) const;

  std::unique_ptr<const IdFiles> ids_;
  std::optional<MappedFile> target_bits_, starts_;  // None where the split is empty.
  std::uint64_t conversations_ = 0, examples_ = 0, targets_ = 0, target_bytes_ = 0;
  std::uint64_t content_hash_ = 0;
};

// Makes the folder as make_token_shards does; the template is a part of what it is made of.
// `options`: files of JSON lines, with the messages in `json_field`; separators are not used.
// `chat_template` is a template's source, `name` its place in sentences. Notices tell of templates
// that do not end answers or that write earlier ones in another way. Throws what
// parse_conversation() and ExampleMaker throw, naming file and line, and then leaves nothing;
// Error(kUnsupported) where there is no template.
void make_conversation_shards(const std::filesystem::path& folder, const ShardOptions& options,
                              const tokenizer::Tokenizer& tokenizer, std::string_view chat_template,
                              std::string_view name, const Progress& progress,
                              const Notice& notice);

}  // namespace tern::corpus
