// Text cut into lines that SentencePiece's trainer can take, its model, and the same as JSON.
#include "tern/corpus/train_tokenizer.h"

#include <fmt/core.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/utf8.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/tokenizer_files.h"

namespace tern::corpus {
namespace {

constexpr std::size_t kFixedPieces = 3 + 256;  // <unk>, <s>, </s> and the bytes.
// The trainer passes over sentences longer than 4,192 bytes.
constexpr std::size_t kLongestLine = 4000;
// It passes over sentences with this character, too: it stands for what is not covered.
constexpr std::uint32_t kReserved = 0x2585;

// Text as the trainer sees it: lines without control characters, one behind the other.
class Lines {
 public:
  void add(std::string_view line) {
    text_ += line;
    ends_.push_back(text_.size());
  }
  std::size_t size() const noexcept { return ends_.size(); }
  std::uint64_t bytes() const noexcept { return text_.size(); }
  std::string_view operator[](std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string text_;
  std::vector<std::size_t> ends_;
};

// Where to cut a line that is longer than kLongestLine: before its last blank (the word behind
// keeps it, as in the whole line), else behind its last full stop of Japanese, else anywhere
// between two characters.
std::size_t place_to_cut(std::string_view line) noexcept {
  const std::string_view head = line.substr(0, kLongestLine);
  if (const std::size_t blank = head.rfind(' '); blank != head.npos && blank > 0) return blank;
  constexpr std::string_view kStop = "。";
  if (const std::size_t stop = head.rfind(kStop); stop != head.npos) return stop + kStop.size();
  std::size_t at = kLongestLine;
  while ((static_cast<unsigned char>(line[at]) & 0xC0) == 0x80) --at;
  return at;
}

void each_short_line(std::string_view line, const std::function<void(std::string_view)>& sink) {
  while (line.size() > kLongestLine) {
    const std::size_t at = place_to_cut(line);
    sink(line.substr(0, at));
    line.remove_prefix(at);
  }
  if (!line.empty()) sink(line);
}

// Calls `sink` with the document's lines, cut at every character that must not be in a piece.
void each_line(std::string_view document, const std::function<void(std::string_view)>& sink) {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < document.size();) {
    const Utf8Char c = next_char(document, at);
    if (c.code_point < 0x20 || c.code_point == kReserved) {
      each_short_line(document.substr(begin, at - begin), sink);
      begin = at + c.size;
    }
    at += c.size;
  }
  each_short_line(document.substr(begin), sink);
}

// At most `max_bytes` of the text: of a longer one every n-th line, as it were.
Lines collect(const TokenizerTraining& options, const Notice& notice) {
  std::uint64_t total = 0;
  for_each_document(options.sources,
                    [&](std::string_view document, std::string_view) { total += document.size(); });
  const double share = total <= options.max_bytes
                           ? 1.0
                           : static_cast<double>(options.max_bytes) / static_cast<double>(total);
  if (share < 1) {
    notify(notice, fmt::format("the text has {} bytes; the vocabulary is made of {:.1f} % of its "
                               "lines, spread evenly",
                               total, 100 * share));
  }
  Lines lines;
  double seen = 0;
  for_each_document(options.sources, [&](std::string_view document, std::string_view) {
    each_line(document, [&](std::string_view line) {
      seen += static_cast<double>(line.size());
      if (share == 1 || static_cast<double>(lines.bytes() + line.size()) <= seen * share) {
        lines.add(line);
      }
    });
  });
  if (lines.size() == 0) {
    throw Error(ErrorCode::kBadArgument,
                "the text for the vocabulary is empty, expected some words at least");
  }
  return lines;
}

// How many characters the trainer will make pieces of: the commonest, until they cover the share.
std::size_t covered_characters(const Lines& lines, double coverage) {
  std::unordered_map<std::uint32_t, std::uint64_t> counts;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    for (std::size_t at = 0; at < line.size();) {
      const Utf8Char c = next_char(line, at);
      ++counts[c.code_point == ' ' ? 0x2581 : c.code_point];
      ++all;
      at += c.size;
    }
  }
  std::vector<std::uint64_t> sorted;
  for (const auto& [character, count] : counts) sorted.push_back(count);
  std::ranges::sort(sorted, std::greater());
  std::uint64_t covered = 0;
  std::size_t n = 0;
  while (n < sorted.size() && static_cast<double>(covered) < coverage * static_cast<double>(all)) {
    covered += sorted[n++];
  }
  return n;
}

void check_size(const TokenizerTraining& options, const Lines& lines) {
  const std::size_t characters = covered_characters(lines, options.character_coverage);
  if (options.size <= kFixedPieces + characters) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("a vocabulary of {} pieces does not hold the {} special ones and bytes "
                            "and the {} characters that cover {:.6g} of the text; expected more "
                            "than {}, or a smaller character coverage",
                            options.size, kFixedPieces, characters, options.character_coverage,
                            kFixedPieces + characters));
  }
}

// Hands the lines to the trainer.
class LineIterator : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const Lines& lines) : lines_(lines) { Next(); }
  bool done() const override { return next_ > lines_.size(); }
  void Next() override {
    if (next_ < lines_.size()) line_ = lines_[next_];
    ++next_;
  }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const Lines& lines_;
  std::size_t next_ = 0;
  std::string line_;
};

// tokenizer.model's bytes.
std::string train_model(const TokenizerTraining& options, const Lines& lines) {
  const std::unordered_map<std::string, std::string> settings{
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.size)},
      {"character_coverage", fmt::format("{}", options.character_coverage)},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"allow_whitespace_only_pieces", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      // Fewer pieces than asked for are counted and refused by the caller, in its own words.
      {"hard_vocab_limit", "false"},
      // More would only copy the text faster, and stand in the file.
      {"num_threads", "1"},
      {"minloglevel", "3"},  // Its log goes to stderr otherwise.
  };
  LineIterator iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) {
    throw Error(ErrorCode::kBadArgument,
                "SentencePiece could not make a vocabulary: " + status.ToString());
  }
  return model;
}

void check_options(const TokenizerTraining& options) {
  if (options.size <= kFixedPieces ||
      options.size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("a vocabulary of {} pieces was asked for, expected more than the {} "
                            "special ones and bytes (and fewer than 2^31)",
                            options.size, kFixedPieces));
  }
  if (!(options.character_coverage >= 0.98 && options.character_coverage <= 1)) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("a character coverage of {} was asked for, expected 0.98 to 1",
                            options.character_coverage));
  }
}

}  // namespace

void train_tokenizer(const TokenizerTraining& options, const std::filesystem::path& out,
                     const Notice& notice) {
  check_options(options);
  AtomicFolder folder(out);  // First: a name that is taken is found out before the work.
  const Lines lines = collect(options, notice);
  check_size(options, lines);
  const std::filesystem::path model = folder.temporary() / "tokenizer.model";
  write_file(model, train_model(options, lines));

  tokenizer::TokenizerData data = checkpoint::open_tokenizer(model, {});
  if (data.pieces.size() < options.size) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the text yields only {} pieces where {} were asked for; expected more "
                            "text or a smaller vocabulary",
                            data.pieces.size(), options.size));
  }
  data.add_bos = true;
  data.add_eos = false;
  Json config = checkpoint::tokenizer_config_json(data, "", 0);
  config.erase("model_max_length");  // The model's affair, not the vocabulary's.
  write_file(folder.temporary() / "tokenizer.json",
             dump_json(checkpoint::tokenizer_json(data), 1) + "\n");
  write_json(folder.temporary() / "tokenizer_config.json", config);
  folder.commit();
}

}  // namespace tern::corpus
