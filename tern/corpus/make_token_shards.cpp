// Making: one pass that counts documents, one that writes their ids into a folder of its own.
#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/corpus/shard_index.h"
#include "tern/corpus/token_shards.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;

// The files of one split, written one after the other.
class SplitWriter {
 public:
  SplitWriter(fs::path folder, Split split, std::size_t id_bytes, std::uint64_t ids_per_file)
      : folder_(std::move(folder)),
        split_(split),
        id_bytes_(id_bytes),
        ids_per_file_(ids_per_file) {}

  void add_document(std::span<const std::uint32_t> ids, std::size_t text_bytes) {
    counts_.tokens += ids.size();
    counts_.documents += 1;
    counts_.text_bytes += text_bytes;
    while (!ids.empty()) {
      if (!file_) {
        file_.emplace(folder_ / shard_name(split_, counts_.files.size()));
        counts_.files.push_back(0);
      }
      const std::uint64_t room = ids_per_file_ - counts_.files.back();
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(room, ids.size()));
      append(ids.first(n));
      ids = ids.subspan(n);
      counts_.files.back() += n;
      if (counts_.files.back() == ids_per_file_) finish();
    }
  }

  void finish() {
    if (!file_) return;
    flush();
    file_->commit();
    file_.reset();
  }

  const SplitCounts& counts() const noexcept { return counts_; }
  std::uint64_t bytes() const noexcept { return counts_.tokens * id_bytes_; }

 private:
  void append(std::span<const std::uint32_t> ids) {
    for (const std::uint32_t id : ids) {
      for (std::size_t i = 0; i < id_bytes_; ++i) {
        buffer_.push_back(static_cast<std::byte>((id >> (8 * i)) & 0xFF));
      }
    }
    if (buffer_.size() >= kBuffer) flush();
  }

  void flush() {
    file_->write(buffer_);
    buffer_.clear();
  }

  static constexpr std::size_t kBuffer = std::size_t{1} << 20;
  fs::path folder_;
  Split split_;
  std::size_t id_bytes_;
  std::uint64_t ids_per_file_;
  std::optional<AtomicFile> file_;
  std::vector<std::byte> buffer_;
  SplitCounts counts_;
};

struct Size {
  std::uint64_t documents = 0, bytes = 0;
};

Size size_of(const TextSources& sources) {
  Size size;
  for_each_document(sources, [&](std::string_view document, std::string_view) {
    size.documents += 1;
    size.bytes += document.size();
  });
  return size;
}

std::uint64_t hash(std::uint64_t ordinal) noexcept {  // SplitMix64's.
  std::uint64_t z = (ordinal + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// Which documents are held out: those with a hash below the share, or else the lowest of all.
class Holdout {
 public:
  Holdout(double share, std::uint64_t documents) {
    if (share == 0 || documents < 2) return;
    std::uint64_t lowest = 0, highest = 0, below = 0;
    for (std::uint64_t i = 0; i < documents; ++i) {
      if (hash(i) < hash(lowest)) lowest = i;
      if (hash(i) > hash(highest)) highest = i;
      below += as_share(hash(i)) < share;
    }
    share_ = share;
    if (below == 0) always_ = lowest;
    if (below == documents) never_ = highest;
  }

  bool holds_out(std::uint64_t ordinal) const noexcept {
    return always_ == ordinal || (as_share(hash(ordinal)) < share_ && never_ != ordinal);
  }

 private:
  static double as_share(std::uint64_t h) noexcept {
    return static_cast<double>(h >> 11) * 0x1p-53;
  }
  double share_ = 0;
  std::optional<std::uint64_t> always_, never_;
};

// Everything that decides what goes where, found before anything is written.
struct Plan {
  Size train, held_out;  // held_out: of its own files.
  Holdout holdout;

  explicit Plan(const ShardOptions& options)
      : train(size_of(options.train)),
        held_out(size_of(options.held_out)),
        holdout(options.held_out.paths.empty() ? options.holdout : 0, train.documents) {
    if (train.documents == 0) {
      throw Error(ErrorCode::kBadArgument,
                  "the training text has no document, expected one at least");
    }
    if (!options.held_out.paths.empty() && held_out.documents == 0) {
      throw Error(ErrorCode::kBadArgument,
                  "the held-out text has no document, expected one at least");
    }
    if (options.held_out.paths.empty() && options.holdout > 0 && train.documents == 1) {
      throw Error(
          ErrorCode::kBadArgument,
          fmt::format("the training text is a single document, of which the share {} cannot "
                      "be held out; expected two, a separator that tells documents apart, "
                      "or held-out files",
                      options.holdout));
    }
  }
};

class Maker {
 public:
  Maker(const fs::path& folder, const ShardOptions& options, const tokenizer::Tokenizer& tokenizer,
        const Progress& progress, const Plan& plan)
      : options_(options),
        tokenizer_(tokenizer),
        progress_(progress),
        plan_(plan),
        id_bytes_(id_bytes_of(tokenizer.vocab_size())),
        train_(folder, Split::kTrain, id_bytes_, options.ids_per_file),
        held_out_(folder, Split::kHeldOut, id_bytes_, options.ids_per_file) {}

  // Returns the index.
  Json write(const Json& recipe) {
    std::uint64_t ordinal = 0;
    for_each_document(options_.train, [&](std::string_view document, std::string_view where) {
      add(plan_.holdout.holds_out(ordinal++) ? held_out_ : train_, document, where);
    });
    for_each_document(options_.held_out, [&](std::string_view document, std::string_view where) {
      ++ordinal;
      add(held_out_, document, where);
    });
    if (ordinal != plan_.train.documents + plan_.held_out.documents) {
      throw Error(ErrorCode::kIo, "the text was changed while it was read; run this again");
    }
    guarded([&] {
      train_.finish();
      held_out_.finish();
    });
    return make_index(recipe, id_bytes_, train_.counts(), held_out_.counts());
  }

 private:
  void add(SplitWriter& writer, std::string_view document, std::string_view where) {
    const tokenizer::TokenizerData& data = tokenizer_.data();
    std::vector<std::uint32_t> ids;
    try {
      ids = tokenizer_.encode_with_bos(document, false);
    } catch (const Error& e) {
      throw with_context(where, e);
    }
    if (data.eos) ids.push_back(*data.eos);
    done_ += document.size();
    guarded([&] { writer.add_document(ids, document.size()); });
    if (progress_) {
      const std::uint64_t all = plan_.train.bytes + plan_.held_out.bytes;
      progress_("tokenising", std::min(1.0, static_cast<double>(done_) / static_cast<double>(all)));
    }
  }

  // Adds to what the disk refuses how much of it would be needed, from what is done so far.
  template <typename Step>
  void guarded(Step&& step) {
    try {
      step();
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kIo) throw;
      const double all = static_cast<double>(plan_.train.bytes + plan_.held_out.bytes);
      const double bytes = static_cast<double>(train_.bytes() + held_out_.bytes());
      throw Error(ErrorCode::kIo,
                  fmt::format("{}; the tokens of this text need about {:.0f} bytes there", e.what(),
                              bytes * all / static_cast<double>(done_)));
    }
  }

  const ShardOptions& options_;
  const tokenizer::Tokenizer& tokenizer_;
  const Progress& progress_;
  const Plan& plan_;
  std::size_t id_bytes_;
  SplitWriter train_, held_out_;
  std::uint64_t done_ = 0;  // Bytes of text.
};

void check(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer) {
  if (!tokenizer.data().bos && !tokenizer.data().eos) {
    throw Error(ErrorCode::kUnsupported,
                "the vocabulary has neither a BOS nor an EOS token, expected one of them to stand "
                "between documents");
  }
  if (!(options.holdout >= 0 && options.holdout < 1)) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("a share of {} was to be held out, expected 0 or more and less than 1",
                            options.holdout));
  }
}

// Puts the finished folder `fresh` where the outdated `folder` stands.
void replace(const fs::path& folder, const fs::path& fresh) {
  const fs::path old = fs::path(fresh).concat("-old");
  std::error_code error;
  fs::rename(folder, old, error);
  if (!error) fs::rename(fresh, folder, error);
  if (error) {
    throw Error(ErrorCode::kIo, folder.string() + ": cannot be replaced: " + error.message());
  }
  fs::remove_all(old, error);
}

}  // namespace

void make_token_shards(const fs::path& folder, const ShardOptions& options,
                       const tokenizer::Tokenizer& tokenizer, const Progress& progress) {
  check(options, tokenizer);
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  const Json recipe = shard_recipe(options, tokenizer);
  if (is_made_by(target, recipe)) return;
  const bool outdated = is_shard_folder(target);
  const fs::path fresh =
      outdated ? target.parent_path() /
                     fmt::format(".{}.new-{}", target.filename().string(), process_id())
               : target;
  AtomicFolder out(fresh);
  const Plan plan(options);
  const Json index = Maker(out.temporary(), options, tokenizer, progress, plan).write(recipe);
  write_json(out.temporary() / kIndexName, index);
  try {
    out.commit();
  } catch (const Error&) {
    if (is_made_by(target, recipe)) return;  // Another process was faster.
    throw;
  }
  if (outdated) replace(target, fresh);
}

}  // namespace tern::corpus
