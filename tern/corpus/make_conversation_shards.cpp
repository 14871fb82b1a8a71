// Making: one pass that counts lines, one that writes their conversations' ids and targets.
#include <fmt/core.h>

#include <algorithm>

#include "tern/base/error.h"
#include "tern/corpus/conversation_shards.h"
#include "tern/corpus/conversations.h"
#include "tern/corpus/shard_index.h"
#include "tern/corpus/shard_maker.h"
#include "tern/tokenizer/chat_template.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;

constexpr SourceWords kWords{"data", "conversation", "two, or held-out files"};

SourceSize size_of(const TextSources& sources) {
  SourceSize size;
  if (sources.paths.empty()) return size;
  for_each_json_line(sources, [&](std::string_view line, std::string_view) {
    size.documents += 1;
    size.bytes += line.size();
  });
  return size;
}

// One split: ids, a bit for each, and where examples begin.
class ExampleWriter {
 public:
  ExampleWriter(const fs::path& folder, Split split, std::size_t id_bytes,
                std::uint64_t ids_per_file)
      : folder_(folder), split_(split), ids_(folder, split, id_bytes, ids_per_file) {}

  void add(const std::vector<Example>& examples) {
    ids_.counts.documents += 1;
    for (const Example& example : examples) {
      if (!targets_) {
        targets_.emplace(folder_ / part_name(split_, kTargetsPart));
        starts_.emplace(folder_ / part_name(split_, kExamplesPart));
      }
      starts_->append(ids_.counts.tokens, sizeof(std::uint64_t));
      ids_.counts.examples += 1;
      ids_.counts.targets += example.target_count();
      ids_.counts.text_bytes += example.answer_bytes;
      for (const bool target : example.targets) add_bit(target);
      ids_.add(example.ids);
    }
  }

  void finish() {
    ids_.finish();
    if (!targets_) return;
    while (held_ > 0) add_bit(false);
    targets_->commit();
    starts_->commit();
  }

  const SplitCounts& counts() const noexcept { return ids_.counts; }
  std::uint64_t bytes() const noexcept {
    return ids_.bytes() + ids_.counts.tokens / 8 + ids_.counts.examples * sizeof(std::uint64_t);
  }

 private:
  void add_bit(bool bit) {
    byte_ |= static_cast<unsigned>(bit) << held_;
    if (++held_ < 8) return;
    targets_->append(byte_, 1);
    byte_ = held_ = 0;
  }

  fs::path folder_;
  Split split_;
  SplitWriter ids_;
  std::optional<NumberFile> targets_, starts_;
  unsigned byte_ = 0, held_ = 0;  // Bits that make no whole byte yet.
};

class Maker {
 public:
  Maker(const fs::path& folder, const ShardOptions& options, ExampleMaker& examples,
        std::size_t vocabulary, const Progress& progress, const SplitPlan& plan)
      : options_(options),
        examples_(examples),
        plan_(plan),
        progress_(plan, progress),
        id_bytes_(id_bytes_of(vocabulary)),
        train_(folder, Split::kTrain, id_bytes_, options.ids_per_file),
        held_out_(folder, Split::kHeldOut, id_bytes_, options.ids_per_file) {}

  // Returns the index.
  Json write(const Json& recipe) {
    std::uint64_t ordinal = 0;
    for_each_json_line(options_.train, [&](std::string_view line, std::string_view where) {
      add(plan_.holdout.holds_out(ordinal++) ? held_out_ : train_, line, where,
          options_.train.json_field);
    });
    if (!options_.held_out.paths.empty()) {
      for_each_json_line(options_.held_out, [&](std::string_view line, std::string_view where) {
        ++ordinal;
        add(held_out_, line, where, options_.held_out.json_field);
      });
    }
    plan_.check_written(ordinal);
    progress_.guarded(
        [&] {
          train_.finish();
          held_out_.finish();
        },
        [this] { return written(); });
    return make_index(recipe, id_bytes_, train_.counts(), held_out_.counts());
  }

 private:
  void add(ExampleWriter& writer, std::string_view line, std::string_view where,
           const std::string& field) {
    const std::vector<Example> made = examples_.make(parse_conversation(line, field, where), where);
    progress_.write(line.size(), [&] { writer.add(made); }, [this] { return written(); });
  }

  std::uint64_t written() const noexcept { return train_.bytes() + held_out_.bytes(); }

  const ShardOptions& options_;
  ExampleMaker& examples_;
  const SplitPlan& plan_;
  WriteProgress progress_;
  std::size_t id_bytes_;
  ExampleWriter train_, held_out_;
};

void tell(const ExampleMaker& examples, std::string_view name, const Notice& notice) {
  if (const std::uint64_t count = examples.answers_without_end(); count > 0) {
    notify(notice, fmt::format("{}: the template ends {} answers without an end token of the "
                               "vocabulary, so that the model does not learn to stop after them",
                               name, count));
  }
  if (const std::uint64_t count = examples.conversations_split(); count > 0) {
    notify(notice, fmt::format("{}: the template writes earlier answers in another way than the "
                               "last, so that {} conversations make an example for each answer",
                               name, count));
  }
}

}  // namespace

void make_conversation_shards(const fs::path& folder, const ShardOptions& options,
                              const tokenizer::Tokenizer& tokenizer, std::string_view chat_template,
                              std::string_view name, const Progress& progress,
                              const Notice& notice) {
  check_share(options.holdout);
  const tokenizer::ChatTemplate chat(chat_template, tokenizer.data(), name);
  ExampleMaker examples(tokenizer, chat);
  const Json recipe = conversation_recipe(options, tokenizer, chat_template);
  make_shard_folder(folder, recipe, [&](const fs::path& temporary) {
    const SplitPlan plan(options, size_of(options.train), size_of(options.held_out), kWords);
    return Maker(temporary, options, examples, tokenizer.vocab_size(), progress, plan)
        .write(recipe);
  });
  tell(examples, name, notice);
}

}  // namespace tern::corpus
