// Making: one pass that counts documents, one that writes their ids into a folder of its own.
#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "tern/base/error.h"
#include "tern/corpus/shard_index.h"
#include "tern/corpus/shard_maker.h"
#include "tern/corpus/token_shards.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;

constexpr SourceWords kWords{"text", "document",
                             "two, a separator that tells documents apart, or held-out files"};

SourceSize size_of(const TextSources& sources) {
  SourceSize size;
  for_each_document(sources, [&](std::string_view document, std::string_view) {
    size.documents += 1;
    size.bytes += document.size();
  });
  return size;
}

class Maker {
 public:
  Maker(const fs::path& folder, const ShardOptions& options, const tokenizer::Tokenizer& tokenizer,
        const Progress& progress, const SplitPlan& plan)
      : options_(options),
        tokenizer_(tokenizer),
        plan_(plan),
        progress_(plan, progress),
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
    plan_.check_written(ordinal);
    progress_.guarded(
        [&] {
          train_.finish();
          held_out_.finish();
        },
        [this] { return written(); });
    return make_index(recipe, id_bytes_, train_.counts, held_out_.counts);
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
    writer.counts.documents += 1;
    writer.counts.text_bytes += document.size();
    progress_.write(document.size(), [&] { writer.add(ids); }, [this] { return written(); });
  }

  std::uint64_t written() const noexcept { return train_.bytes() + held_out_.bytes(); }

  const ShardOptions& options_;
  const tokenizer::Tokenizer& tokenizer_;
  const SplitPlan& plan_;
  WriteProgress progress_;
  std::size_t id_bytes_;
  SplitWriter train_, held_out_;
};

void check(const ShardOptions& options, const tokenizer::Tokenizer& tokenizer) {
  if (!tokenizer.data().bos && !tokenizer.data().eos) {
    throw Error(ErrorCode::kUnsupported,
                "the vocabulary has neither a BOS nor an EOS token, expected one of them to stand "
                "between documents");
  }
  check_share(options.holdout);
}

}  // namespace

void make_token_shards(const fs::path& folder, const ShardOptions& options,
                       const tokenizer::Tokenizer& tokenizer, const Progress& progress) {
  check(options, tokenizer);
  const Json recipe = shard_recipe(options, tokenizer);
  make_shard_folder(folder, recipe, [&](const fs::path& temporary) {
    const SplitPlan plan(options, size_of(options.train), size_of(options.held_out), kWords);
    return Maker(temporary, options, tokenizer, progress, plan).write(recipe);
  });
}

}  // namespace tern::corpus
