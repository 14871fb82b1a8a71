// What makers of token shards and of conversation shards share: files of ids, which documents are
// held out, and a folder that appears whole. Internal to tern/corpus.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/notice.h"
#include "tern/corpus/shard_index.h"

namespace tern::corpus {

// An AtomicFile of little-endian numbers, written a mebibyte at a time.
class NumberFile {
 public:
  explicit NumberFile(const std::filesystem::path& path) : file_(path) {}

  void append(std::uint64_t number, std::size_t bytes);  // Its lowest `bytes` bytes.
  void commit();

 private:
  AtomicFile file_;
  std::vector<std::byte> buffer_;
};

// The files of ids of one split, written one after the other.
class SplitWriter {
 public:
  SplitWriter(std::filesystem::path folder, Split split, std::size_t id_bytes,
              std::uint64_t ids_per_file)
      : folder_(std::move(folder)),
        split_(split),
        id_bytes_(id_bytes),
        ids_per_file_(ids_per_file) {}

  void add(std::span<const std::uint32_t> ids);
  void finish();

  SplitCounts counts;  // `tokens` and `files` are counted here, the rest by the caller.
  std::uint64_t bytes() const noexcept { return counts.tokens * id_bytes_; }

 private:
  std::filesystem::path folder_;
  Split split_;
  std::size_t id_bytes_;
  std::uint64_t ids_per_file_;
  std::optional<NumberFile> file_;
};

// Which documents are held out: those with a hash below the share, or else the lowest of all; never
// all (docs/formats/token_shards.md).
class Holdout {
 public:
  Holdout(double share, std::uint64_t documents);
  bool holds_out(std::uint64_t ordinal) const noexcept;

 private:
  double share_ = 0;
  std::optional<std::uint64_t> always_, never_;
};

struct SourceSize {
  std::uint64_t documents = 0, bytes = 0;
};

// How a kind of source is called in sentences.
struct SourceWords {
  std::string_view text, document;  // "the training <text> has no <document>"
  std::string_view remedy;          // What helps where a single document cannot be shared.
};

// Everything that decides what goes where, found before anything is written.
struct SplitPlan {
  SourceSize train, held_out;  // held_out: of its own files.
  Holdout holdout;

  // Throws Error(kBadArgument) for a split that is asked for and has no document.
  SplitPlan(const ShardOptions& options, SourceSize train, SourceSize held_out,
            const SourceWords& words);
  std::uint64_t bytes() const noexcept { return train.bytes + held_out.bytes; }
  // Throws where `documents` were written and not the number that was planned for.
  void check_written(std::uint64_t documents) const;
};

// How far a plan is carried out. `plan` and `progress` outlive this object.
class WriteProgress {
 public:
  WriteProgress(const SplitPlan& plan, const Progress& progress)
      : plan_(plan), progress_(progress) {}

  // Runs `step`, which writes what was made of `bytes` more of the sources, and tells progress.
  template <typename Step, typename Written>
  void write(std::uint64_t bytes, Step&& step, Written&& written) {
    done_ += bytes;
    guarded(step, written);
    if (progress_) progress_("tokenising", std::min(1.0, share()));
  }
  // Runs `step`, which writes. To what the disk refuses it adds about how many bytes everything
  // would need there, from the `written()` ones of what is done.
  template <typename Step, typename Written>
  void guarded(Step&& step, Written&& written) const {
    try {
      step();
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kIo) throw;
      const auto whole = static_cast<double>(written()) / share();
      throw Error(ErrorCode::kIo, std::string(e.what()) + "; the tokens of this text need about " +
                                      std::to_string(static_cast<std::uint64_t>(whole + 0.5)) +
                                      " bytes there");
    }
  }

 private:
  double share() const noexcept {
    return static_cast<double>(done_) / static_cast<double>(plan_.bytes());
  }

  const SplitPlan& plan_;
  const Progress& progress_;
  std::uint64_t done_ = 0;  // Bytes of the sources.
};

// Throws Error(kBadArgument) unless 0 <= share < 1.
void check_share(double holdout);

// Makes `folder` of what `write` puts into a temporary one, with the index that it returns; leaves
// it alone where it is made of `recipe` already, replaces it where it is outdated. See
// make_token_shards().
void make_shard_folder(const std::filesystem::path& folder, const Json& recipe,
                       const std::function<Json(const std::filesystem::path& temporary)>& write);

}  // namespace tern::corpus
