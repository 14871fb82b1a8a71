// Files, shares and folders.
#include "tern/corpus/shard_maker.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "tern/base/system.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBuffer = std::size_t{1} << 20;

std::uint64_t hash(std::uint64_t ordinal) noexcept {  // SplitMix64's.
  std::uint64_t z = (ordinal + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

double as_share(std::uint64_t h) noexcept { return static_cast<double>(h >> 11) * 0x1p-53; }

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

void NumberFile::append(std::uint64_t number, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    buffer_.push_back(static_cast<std::byte>((number >> (8 * i)) & 0xFF));
  }
  if (buffer_.size() < kBuffer) return;
  file_.write(buffer_);
  buffer_.clear();
}

void NumberFile::commit() {
  file_.write(buffer_);
  buffer_.clear();
  file_.commit();
}

void SplitWriter::add(std::span<const std::uint32_t> ids) {
  counts.tokens += ids.size();
  for (const std::uint32_t id : ids) {
    if (!file_) {
      file_.emplace(folder_ / shard_name(split_, counts.files.size()));
      counts.files.push_back(0);
    }
    file_->append(id, id_bytes_);
    if (++counts.files.back() == ids_per_file_) finish();
  }
}

void SplitWriter::finish() {
  if (!file_) return;
  file_->commit();
  file_.reset();
}

Holdout::Holdout(double share, std::uint64_t documents) {
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

bool Holdout::holds_out(std::uint64_t ordinal) const noexcept {
  return always_ == ordinal || (as_share(hash(ordinal)) < share_ && never_ != ordinal);
}

SplitPlan::SplitPlan(const ShardOptions& options, SourceSize train_size, SourceSize held_out_size,
                     const SourceWords& words)
    : train(train_size),
      held_out(held_out_size),
      holdout(options.held_out.paths.empty() ? options.holdout : 0, train_size.documents) {
  const bool own_files = !options.held_out.paths.empty();
  if (train.documents == 0) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the training {} has no {}, expected one at least", words.text,
                            words.document));
  }
  if (own_files && held_out.documents == 0) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the held-out {} has no {}, expected one at least", words.text,
                            words.document));
  }
  if (!own_files && options.holdout > 0 && train.documents == 1) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the training {} is a single {}, of which the share {} cannot be held "
                            "out; expected {}",
                            words.text, words.document, options.holdout, words.remedy));
  }
}

void SplitPlan::check_written(std::uint64_t documents) const {
  if (documents == train.documents + held_out.documents) return;
  throw Error(ErrorCode::kIo, "the text was changed while it was read; run this again");
}

void check_share(double holdout) {
  if (holdout >= 0 && holdout < 1) return;
  throw Error(
      ErrorCode::kBadArgument,
      fmt::format("a share of {} was to be held out, expected 0 or more and less than 1", holdout));
}

void make_shard_folder(const fs::path& folder, const Json& recipe,
                       const std::function<Json(const fs::path& temporary)>& write) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  if (is_made_by(target, recipe)) return;
  const bool outdated = is_shard_folder(target);
  const fs::path fresh =
      outdated ? target.parent_path() /
                     fmt::format(".{}.new-{}", target.filename().string(), process_id())
               : target;
  AtomicFolder out(fresh);
  const Json index = write(out.temporary());
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
