// Training configs: every key, what follows from others, and one sentence for each fault.
#include "tern/train/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/train/config_keys.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSmall = R"([model]
architecture = "bitnet-b1.58"
hidden = 128
ffn = 384
layers = 4
heads = 4
[tokenizer]
path = "vocabulary"
[data]
train = "books"
[training]
out = "../runs/one"
tokens = 10_000_000
)";

class ConfigFile : public testing::Test {
 protected:
  ConfigFile()
      : folder_(fs::temp_directory_path() / ("tern-config-" + std::to_string(random_seed()))) {
    fs::create_directory(folder_);
  }
  ~ConfigFile() override { fs::remove_all(folder_); }

  fs::path write(const std::string& text) {
    const fs::path file = folder_ / "run.toml";
    std::ofstream(file) << text;
    return file;
  }
  TrainConfig load(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return load_config(write(text), overrides);
  }
  // The sentence, without the folder in front.
  std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      load(text, overrides);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kBadArgument) << e.what();
      std::string what = e.what();
      const std::string prefix = folder_.string() + "/";
      if (what.starts_with(prefix)) what.erase(0, prefix.size());
      return what;
    }
    return "accepted";
  }
  fs::path folder_;
};

TEST_F(ConfigFile, SmallOneGetsWhatFollows) {
  const TrainConfig c = load(kSmall);
  EXPECT_EQ(c.model.arch, arch::ArchitectureId::kBitnetB158);
  EXPECT_EQ(c.model.kv_heads, 4u);
  EXPECT_EQ(c.model.head_dim, 32u);
  EXPECT_EQ(c.model.context, 256u);
  EXPECT_TRUE(c.model.sub_norms);
  EXPECT_TRUE(c.model.declares_b158);
  EXPECT_TRUE(c.model.tied_head);
  EXPECT_EQ(c.model.activation, arch::GateActivation::kReluSquared);
  EXPECT_EQ(c.weights, WeightKind::kTernary);
  EXPECT_EQ(c.tokens, 10'000'000u);
  EXPECT_EQ(c.beta2, 0.95);
  EXPECT_EQ(c.tokenizer, folder_ / "vocabulary");
  ASSERT_EQ(c.train_text.paths.size(), 1u);
  EXPECT_EQ(c.train_text.paths[0], folder_ / "books");
  EXPECT_EQ(c.out, folder_.parent_path() / "runs/one");
}

TEST_F(ConfigFile, OtherArchitecturesDifferByTheTable) {
  const TrainConfig llama = load(kSmall, {"model.architecture=llama"});
  EXPECT_FALSE(llama.model.sub_norms);
  EXPECT_TRUE(llama.model.declares_b158);  // Trained so.
  EXPECT_EQ(llama.model.activation, arch::GateActivation::kSilu);
  const TrainConfig plain = load(kSmall, {"model.weights=fp"});
  EXPECT_FALSE(plain.model.declares_b158);
  EXPECT_TRUE(plain.model.declares_float);
  const TrainConfig bitnet = load(kSmall, {"model.architecture=bitnet"});
  EXPECT_TRUE(bitnet.model.sub_norms);
  EXPECT_EQ(bitnet.model.activation, arch::GateActivation::kSilu);
  EXPECT_EQ(refusal(kSmall, {"model.architecture=bitnet", "model.tied=false"}),
            "run.toml: model.tied = false found, expected true: a bitnet model has no head of its "
            "own");
}

TEST_F(ConfigFile, NumbersThatAreWholeAreWhole) {
  EXPECT_EQ(load(kSmall, {"training.tokens=1e7"}).tokens, 10'000'000u);
  EXPECT_EQ(load(kSmall, {"training.batch=16.0"}).batch, 16u);
  EXPECT_EQ(load(kSmall, {"schedule.learning_rate=1"}).schedule.learning_rate, 1.0);
  EXPECT_EQ(refusal(kSmall, {"training.batch=1.5"}),
            "--set training.batch: 1.5 found, expected a whole number from 1 to 65536");
  EXPECT_EQ(refusal(kSmall, {"training.batch=-1"}),
            "--set training.batch: -1 found, expected a whole number from 1 to 65536");
  EXPECT_EQ(refusal(kSmall, {"training.tokens=1e300"}),
            "--set training.tokens: 1e+300 found, expected a whole number from 0 to "
            "9007199254740992");
  EXPECT_EQ(
      refusal(kSmall, {"schedule.learning_rate=nan"}),
      "--set schedule.learning_rate: nan found, expected a number more than 0 and at most 10");
}

TEST_F(ConfigFile, OverridesAreTomlOrBareWords) {
  const TrainConfig c =
      load(kSmall,
           {"schedule.learning_rate=2e-3", "schedule.kind=wsd", "model.weights=fp",
            "evaluate.prompts=[\"Once upon\", \"Es war\"]", "data.train=a b.txt", "model.scale=128",
            "training.out=2024", "data.separator=<|endoftext|>", "data.field="});
  EXPECT_EQ(c.schedule.learning_rate, 2e-3);
  EXPECT_EQ(c.schedule.kind, ScheduleKind::kWsd);
  EXPECT_EQ(c.weights, WeightKind::kFullPrecision);
  EXPECT_EQ(c.sample_prompts, (std::vector<std::string>{"Once upon", "Es war"}));
  EXPECT_EQ(c.train_text.paths[0], fs::current_path() / "a b.txt");
  EXPECT_EQ(c.scale, ScaleKind::kGroup);
  EXPECT_EQ(c.group, 128u);
  EXPECT_EQ(c.out, fs::current_path() / "2024");
  EXPECT_EQ(c.train_text.separators, std::vector<std::string>{"<|endoftext|>"});
  EXPECT_EQ(c.held_out_text.separators, c.train_text.separators);
  EXPECT_EQ(c.train_text.json_field, "");
  EXPECT_EQ(load(kSmall, {"training.batch=4", "training.batch=2"}).batch, 2u);
  EXPECT_EQ(refusal(kSmall, {"training.batch"}),
            "--set training.batch: no value found, expected key=value, as in "
            "schedule.learning_rate=2e-3");
}

TEST_F(ConfigFile, UnknownKeysNameTheNearest) {
  EXPECT_EQ(
      refusal(std::string(kSmall) + "[schedule]\nlerning_rate = 1e-3\n"),
      "run.toml: line 15: unknown key schedule.lerning_rate found; the nearest that exists is "
      "schedule.learning_rate");
  // Right name, wrong section.
  EXPECT_EQ(refusal(std::string(kSmall) + "learning_rate = 1e-3\n"),
            "run.toml: line 14: unknown key training.learning_rate found; the nearest that exists "
            "is schedule.learning_rate");
  EXPECT_EQ(refusal("batch = 8\n" + std::string(kSmall)),
            "run.toml: line 1: unknown key batch found; the nearest that exists is training.batch");
  EXPECT_EQ(refusal(std::string(kSmall) + "[optimiser]\n"),
            "run.toml: line 14: unknown key optimiser found; the nearest that exists is "
            "optimizer.clip");
  EXPECT_EQ(refusal(kSmall, {"guards.spikes=1"}),
            "--set: unknown key guards.spikes found; the nearest that exists is guards.spike");
  EXPECT_EQ(refusal("data = 3\n"),
            "run.toml: line 1: data = 3 found, expected a section [data] with keys");
}

TEST_F(ConfigFile, WrongTypesAndWords) {
  EXPECT_EQ(refusal(std::string(kSmall) + "seed = \"one\"\n"),
            "run.toml: line 14: training.seed: \"one\" found, expected a whole number from 0 to "
            "9007199254740992");
  EXPECT_EQ(refusal(std::string(kSmall) + "precision = \"fp16\"\n"),
            "run.toml: line 14: training.precision: \"fp16\" found, expected one of \"auto\", "
            "\"f32\", \"bf16\"");
  EXPECT_EQ(refusal(std::string(kSmall) + "precision = 16\n"),
            "run.toml: line 14: training.precision: 16 found, expected one of \"auto\", \"f32\", "
            "\"bf16\"");
  EXPECT_EQ(refusal(std::string(kSmall) + "out = 3\n").substr(0, 41),
            "run.toml: line 14, column 7: not TOML: Er");
  EXPECT_EQ(refusal(std::string(kSmall) + "[evaluate]\nprompts = [1]\n"),
            "run.toml: line 15: evaluate.prompts: [1] found, expected a list of strings");
  EXPECT_EQ(refusal(kSmall, {"model.tied=1"}), "--set model.tied: 1 found, expected true or false");
  EXPECT_EQ(refusal(kSmall, {"model.scale=100"}),
            "--set model.scale: 100 found, expected \"tensor\", \"row\" or the columns of a group, "
            "a multiple of 64");
  EXPECT_EQ(refusal(kSmall, {"optimizer.beta1=1"}),
            "--set optimizer.beta1: 1 found, expected a number from 0 to less than 1");
}

TEST_F(ConfigFile, MissingAndContradicting) {
  EXPECT_EQ(refusal("[model]\narchitecture = \"llama\"\n"),
            "run.toml: no model.hidden found, expected one (Width of the residual stream)");
  EXPECT_EQ(refusal(kSmall, {"training.tokens=0"}),
            "run.toml: no budget found, expected training.tokens or training.minutes");
  EXPECT_EQ(refusal(kSmall, {"training.tokens=2047"}),
            "run.toml: training.tokens of 2047 found, expected at least one step of 2048 (sequence "
            "* batch * accumulate)");
  EXPECT_EQ(refusal(kSmall, {"model.context=128"}),
            "run.toml: training.sequence of 256 found, expected at most the model.context of 128");
  EXPECT_EQ(refusal(kSmall, {"model.heads=3"}),
            "run.toml: model.hidden of 128 and model.heads of 3 found, expected the first to be a "
            "multiple of the second, or a model.head_dim");
  EXPECT_EQ(refusal(kSmall, {"model.kv_heads=3"}),
            "run.toml: [model]: 4 attention heads and 3 key-value heads found, expected the first "
            "to be a multiple of the second");
  EXPECT_EQ(refusal(kSmall, {"data.train=[]"}),
            "run.toml: data.train = [] found, expected paths of text");
  try {
    load_config(folder_ / "none.toml", {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIo);
  }
}

// Every key gets a value other than its default, is written, and read back from another folder.
TEST_F(ConfigFile, WrittenConfigReadsBackToTheSame) {
  const std::vector<std::string> all{"model.architecture=llama",
                                     "model.weights=b1",
                                     "model.scale=row",
                                     "model.hidden=96",
                                     "model.ffn=200",
                                     "model.layers=3",
                                     "model.heads=6",
                                     "model.kv_heads=2",
                                     "model.head_dim=20",
                                     "model.context=1024",
                                     "model.rope_theta=500000.5",
                                     "model.rms_eps=1e-6",
                                     "model.tied=false",
                                     "model.init_std=0.013",
                                     "model.sub_norm_init=0.5",
                                     "start.model=m",
                                     "start.sub_norms=true",
                                     "start.random=true",
                                     "quantization.warmup=sigmoid",
                                     "quantization.warmup_steps=77",
                                     "quantization.sharpness=25.5",
                                     "tokenizer.path=t\"o\\k",
                                     "data.train=[\"a\", \"b\"]",
                                     "data.held_out=c",
                                     "data.holdout=0.03",
                                     "data.separator=\"\\u0001\\u007f\\t\\\"---\"",
                                     "data.field=body",
                                     "data.form=messages",
                                     "training.out=o",
                                     "training.seed=9007199254740992",
                                     "training.sequence=300",
                                     "training.batch=3",
                                     "training.accumulate=5",
                                     "training.tokens=123456789",
                                     "training.minutes=0.1",
                                     "training.precision=bf16",
                                     "training.products=libtorch",
                                     "training.loss=sum",
                                     "training.threads=2",
                                     "optimizer.beta1=0.8",
                                     "optimizer.beta2=0.999",
                                     "optimizer.epsilon=1e-10",
                                     "optimizer.clip=0.5",
                                     "schedule.kind=cosine",
                                     "schedule.learning_rate=0.1",
                                     "schedule.second_learning_rate=0.3",
                                     "schedule.weight_decay=0.2",
                                     "schedule.second_weight_decay=0.01",
                                     "schedule.switch_at=0.4",
                                     "schedule.decay_share=0.15",
                                     "schedule.final_ratio=0.07",
                                     "schedule.warmup_steps=11",
                                     "distil.teacher=big",
                                     "distil.temperature=2",
                                     "distil.text=0.5",
                                     "distil.logits=10",
                                     "distil.attention=1e5",
                                     "distil.layer=-3",
                                     "distil.relation_heads=4",
                                     "lora.rank=8",
                                     "lora.alpha=32",
                                     "lora.targets=[\"q_proj\", \"v_proj\"]",
                                     "evaluate.every=7",
                                     "evaluate.tokens=99",
                                     "evaluate.sample_every=13",
                                     "evaluate.sample_tokens=21",
                                     "evaluate.prompts=[\"むかし\", \"a\\nb\"]",
                                     "checkpoint.every=17",
                                     "checkpoint.minutes=2.5",
                                     "checkpoint.keep=4",
                                     "guards.spike=0",
                                     "distributed.bucket_megabytes=0.5",
                                     "distributed.join=7.5",
                                     "distributed.silence=20",
                                     "distributed.shard_optimizer=true"};
  const Json defaults = to_json(TrainConfig());
  const TrainConfig c = load(kSmall, all);
  const Json first = to_json(c);
  EXPECT_EQ(all.size(), config_keys().size());
  for (const ConfigKey& key : config_keys()) {
    const std::string name(key.name);
    const Json::json_pointer at("/" + name.substr(0, name.find('.')) + "/" +
                                name.substr(name.find('.') + 1));
    if (key.required()) continue;  // "llama" is what an unset architecture is, too.
    EXPECT_NE(first[at], defaults[at]) << name;
  }
  fs::create_directory(folder_ / "run");
  const fs::path copy = folder_ / "run" / "config.toml";
  std::ofstream(copy) << to_toml(c);
  EXPECT_EQ(to_json(load_config(copy, {})), first);
  EXPECT_EQ(first["model"]["rms_eps"], 1e-6);
  EXPECT_EQ(first["training"]["minutes"], 0.1);
  EXPECT_EQ(first["data"]["separator"][0], "\x01\x7f\t\"---");

  const TrainConfig small = load(kSmall);
  std::ofstream(copy) << to_toml(small);
  EXPECT_EQ(to_json(load_config(copy, {})), to_json(small));
}

// The manual holds the table of each section as the program would print it.
TEST(ConfigManual, TablesAreTheProgramsOwn) {
  const std::string manual = read_text_file(fs::path(TERN_SOURCE_DIR) / "docs" / "training.md");
  std::set<std::string> sections;
  for (const ConfigKey& key : config_keys()) {
    sections.emplace(key.name.substr(0, key.name.find('.')));
    EXPECT_TRUE(key.meaning.ends_with('.')) << key.name;
  }
  for (const std::string& section : sections) {
    EXPECT_NE(manual.find("### `[" + section + "]`\n\n" + markdown_table(section)),
              std::string::npos)
        << "docs/training.md, section " << section << ", expected:\n"
        << markdown_table(section);
  }
}

}  // namespace
}  // namespace tern::train
