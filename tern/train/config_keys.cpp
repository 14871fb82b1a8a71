// One row per key. A new key is a field of TrainConfig and a row here.
#include "tern/train/config_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/train/toml_file.h"

namespace tern::train {
namespace {

std::string plain(double value) {
  std::array<char, 64> buffer{};
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  const auto end = whole ? std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                         static_cast<std::int64_t>(value))
                         : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), end.ptr);
}

std::string expectation(const char* kind, const Range& r) {
  std::string text = kind;
  text += r.above_min ? " more than " : " from ";
  text += plain(r.min);
  if (r.below_max) return text + " to less than " + plain(r.max);
  return text + (r.above_min ? " and at most " : " to ") + plain(r.max);
}

bool inside(double value, const Range& r) {
  return value >= r.min && value <= r.max && !(r.above_min && value == r.min) &&
         !(r.below_max && value == r.max);
}

// The double that is written as shortly as the float it stands for: 1e-5, not 9.99999974738e-06.
double shortest(float value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  double out = 0;
  std::from_chars(buffer.data(), end, out);
  return out;
}

// --- Words -------------------------------------------------------------------------------------

template <typename E>
struct Word {
  std::string_view text;
  E value;
};
constexpr std::array kArchitectureWords{
    Word{"llama", arch::ArchitectureId::kLlama},
    Word{"qwen3", arch::ArchitectureId::kQwen3},
    Word{"bitnet", arch::ArchitectureId::kBitnet},
    Word{"bitnet-b1.58", arch::ArchitectureId::kBitnetB158},
};
constexpr std::array kWeightWords{
    Word{"b1.58", WeightKind::kTernary},
    Word{"b1", WeightKind::kBinary},
    Word{"fp", WeightKind::kFullPrecision},
};
constexpr std::array kPrecisionWords{
    Word{"auto", Precision::kAuto},
    Word{"f32", Precision::kFloat32},
    Word{"bf16", Precision::kBFloat16},
};
constexpr std::array kScheduleWords{
    Word{"two-stage", ScheduleKind::kTwoStage}, Word{"wsd", ScheduleKind::kWsd},
    Word{"cosine", ScheduleKind::kCosine},      Word{"linear", ScheduleKind::kLinear},
    Word{"constant", ScheduleKind::kConstant},
};

constexpr std::array kWarmupWords{
    Word{"none", WarmupKind::kNone},
    Word{"linear", WarmupKind::kLinear},
    Word{"exponential", WarmupKind::kExponential},
    Word{"sigmoid", WarmupKind::kSigmoid},
};
constexpr std::array kProductsWords{
    Word{"tern", Products::kTern},
    Word{"libtorch", Products::kLibtorch},
};
constexpr std::array kReductionWords{
    Word{"mean", LossReduction::kMean},
    Word{"sum", LossReduction::kSum},
};

template <typename Words, typename E>
std::string_view word_of(const Words& words, E value) noexcept {
  for (const auto& word : words) {
    if (word.value == value) return word.text;
  }
  return "?";
}

// --- Rows --------------------------------------------------------------------------------------

// The field at the end of a path of members: at<&TrainConfig::model, &arch::ModelConfig::hidden>.
template <auto First, auto... Rest, typename Object>
auto& at(Object& object) {
  if constexpr (sizeof...(Rest) == 0) {
    return object.*First;
  } else {
    return at<Rest...>(object.*First);
  }
}

struct Text {
  std::string_view name, meaning, otherwise = {};
};

template <auto... Path>
constexpr ConfigKey whole(Text t, Range range) {
  return {t.name,
          t.otherwise,
          t.meaning,
          range,
          [](const KeyValue& v, const Range& r, TrainConfig& c) { at<Path...>(c) = v.whole(r); },
          [](const TrainConfig& c) { return Json(at<Path...>(c)); }};
}

template <auto... Path>
constexpr ConfigKey number(Text t, Range range) {
  return {t.name,
          t.otherwise,
          t.meaning,
          range,
          [](const KeyValue& v, const Range& r, TrainConfig& c) { at<Path...>(c) = v.number(r); },
          [](const TrainConfig& c) { return Json(at<Path...>(c)); }};
}

template <auto... Path>
constexpr ConfigKey text(Text t) {
  return {t.name,
          t.otherwise,
          t.meaning,
          {},
          [](const KeyValue& v, const Range&, TrainConfig& c) { at<Path...>(c) = v.text(); },
          [](const TrainConfig& c) { return Json(at<Path...>(c)); }};
}

template <auto... Path>
constexpr ConfigKey path(Text t) {
  return {t.name,
          t.otherwise,
          t.meaning,
          {},
          [](const KeyValue& v, const Range&, TrainConfig& c) { at<Path...>(c) = v.path(); },
          [](const TrainConfig& c) { return Json(at<Path...>(c).string()); }};
}

// A path, or "" for none.
template <auto... Path>
constexpr ConfigKey optional_path(Text t) {
  ConfigKey key = path<Path...>(t);
  key.read = [](const KeyValue& v, const Range&, TrainConfig& c) {
    at<Path...>(c) = v.text().empty() ? std::filesystem::path() : v.path();
  };
  return key;
}

template <auto... Path>
constexpr ConfigKey boolean(Text t) {
  return {t.name,
          t.otherwise,
          t.meaning,
          {},
          [](const KeyValue& v, const Range&, TrainConfig& c) { at<Path...>(c) = v.boolean(); },
          [](const TrainConfig& c) { return Json(at<Path...>(c)); }};
}

template <auto... Path>
constexpr ConfigKey paths(Text t) {
  return {t.name,
          t.otherwise,
          t.meaning,
          {},
          [](const KeyValue& v, const Range&, TrainConfig& c) { at<Path...>(c) = v.paths(); },
          [](const TrainConfig& c) {
            Json list = Json::array();
            for (const auto& p : at<Path...>(c)) list.push_back(p.string());
            return list;
          }};
}

template <const auto& Words, auto... Path>
constexpr ConfigKey word(Text t) {
  return {t.name,
          t.otherwise,
          t.meaning,
          {},
          [](const KeyValue& v, const Range&, TrainConfig& c) {
            std::string known;
            for (const auto& word : Words) {
              if (!v.json.is_string() && v.bare.empty()) break;
              if (word.text == v.text()) {
                at<Path...>(c) = word.value;
                return;
              }
            }
            for (const auto& word : Words) {
              known += (known.empty() ? "\"" : ", \"") + std::string(word.text) + "\"";
            }
            v.wrong("one of " + known);
          },
          [](const TrainConfig& c) { return Json(std::string(word_of(Words, at<Path...>(c)))); }};
}

void read_scale(const KeyValue& v, const Range&, TrainConfig& c) {
  const std::string text = v.json.is_string() ? v.text() : "";
  c.group = 0;
  if (text == "tensor" || text == "row") {
    c.scale = text == "row" ? ScaleKind::kRow : ScaleKind::kTensor;
    return;
  }
  const char* expected = "\"tensor\", \"row\" or the columns of a group, a multiple of 64";
  if (!v.json.is_number()) v.wrong(expected);
  const double columns = v.json.get<double>();
  if (!(columns >= 64 && columns <= 1 << 20) || std::fmod(columns, 64) != 0) v.wrong(expected);
  c.scale = ScaleKind::kGroup;
  c.group = static_cast<std::size_t>(columns);
}

Json write_scale(const TrainConfig& c) {
  if (c.scale == ScaleKind::kGroup) return c.group;
  return c.scale == ScaleKind::kRow ? "row" : "tensor";
}

void read_rms_eps(const KeyValue& v, const Range& r, TrainConfig& c) {
  c.model.rms_eps = static_cast<float>(v.number(r));
}
Json write_rms_eps(const TrainConfig& c) { return shortest(c.model.rms_eps); }

// Both kinds of text have the same separators and one field.
void read_separators(const KeyValue& v, const Range&, TrainConfig& c) {
  std::vector<std::string> lines = v.texts();
  std::erase(lines, "");  // separator = "": none, not every empty line.
  c.train_text.separators = c.held_out_text.separators = lines;
}
Json write_separators(const TrainConfig& c) { return c.train_text.separators; }

void read_field(const KeyValue& v, const Range&, TrainConfig& c) {
  c.train_text.json_field = c.held_out_text.json_field = v.text();
}
Json write_field(const TrainConfig& c) { return c.train_text.json_field; }

void read_form(const KeyValue& v, const Range&, TrainConfig& c) {
  const std::string form = v.json.is_string() || !v.bare.empty() ? v.text() : "";
  if (form != "text" && form != "messages") v.wrong("\"text\" or \"messages\"");
  c.messages = form == "messages";
}
Json write_form(const TrainConfig& c) { return c.messages ? "messages" : "text"; }

void read_layer(const KeyValue& v, const Range&, TrainConfig& c) {
  const double layer = v.json.is_number() ? v.json.get<double>() : 0.5;
  if (layer != std::floor(layer) || std::abs(layer) > 65536) {
    v.wrong("a whole number from -65536 to 65536");
  }
  c.distil.layer = static_cast<std::int64_t>(layer);
}
Json write_layer(const TrainConfig& c) { return c.distil.layer; }

constexpr std::array<std::string_view, 7> kLinearNames{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                       "gate_proj", "up_proj", "down_proj"};
void read_targets(const KeyValue& v, const Range&, TrainConfig& c) {
  std::vector<std::string> targets;
  for (const std::string& name : v.texts()) {
    if (std::ranges::find(kLinearNames, name) == kLinearNames.end()) {
      v.wrong("names among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj");
    }
    if (std::ranges::find(targets, name) == targets.end()) targets.push_back(name);
  }
  if (targets.empty()) v.wrong("at least one linear layer");
  c.lora.targets = std::move(targets);
}
Json write_targets(const TrainConfig& c) { return c.lora.targets; }

void read_prompts(const KeyValue& v, const Range&, TrainConfig& c) { c.sample_prompts = v.texts(); }
Json write_prompts(const TrainConfig& c) { return c.sample_prompts; }

using C = TrainConfig;
using M = arch::ModelConfig;
using S = ScheduleConfig;
using W = WarmupConfig;
using D = DistilConfig;
using L = LoraConfig;
using T = corpus::TextSources;

constexpr double kWidth = 1 << 20;
constexpr double kMost = 9007199254740992;  // 2^53: up to here a float names each whole number.
constexpr Range kSteps{0, kMost};
constexpr Range kShare{0, 1};
constexpr Range kRate{.min = 0, .max = 10, .above_min = true};
constexpr Range kWeight{0, 1e9};
constexpr Range kBeta{.min = 0, .max = 1, .below_max = true};

constexpr std::array kKeys{
    word<kArchitectureWords, &C::model, &M::arch>({"model.architecture",
                                                   "`llama`; `bitnet`: norms before each block's "
                                                   "last product, SiLU; `bitnet-b1.58`: the same "
                                                   "norms, squared ReLU.",
                                                   "required"}),
    word<kWeightWords, &C::weights>(
        {"model.weights",
         "`b1.58`: -1, 0, +1 by absmean; `b1`: -1, +1 by sign; `fp`: plain linear layers."}),
    ConfigKey{
        "model.scale",
        "",
        "One weight scale per `tensor`, per `row`, or per so many columns of a row (a multiple "
        "of 64).",
        {},
        read_scale,
        write_scale},
    whole<&C::model, &M::hidden>({"model.hidden", "Width of the residual stream.", "required"},
                                 {1, kWidth}),
    whole<&C::model, &M::ffn>({"model.ffn", "Width inside a feed-forward block.", "required"},
                              {1, kWidth}),
    whole<&C::model, &M::layers>(
        {"model.layers", "Pairs of attention and feed-forward.", "required"}, {1, 65536}),
    whole<&C::model, &M::heads>({"model.heads", "Attention heads.", "required"}, {1, 65536}),
    whole<&C::model, &M::kv_heads>(
        {"model.kv_heads", "Heads of keys and values; divides `model.heads`.", "`model.heads`"},
        {1, 65536}),
    whole<&C::model, &M::head_dim>(
        {"model.head_dim", "Width of a head; even.", "`model.hidden` / `model.heads`"}, {2, 16384}),
    whole<&C::model, &M::context>({"model.context",
                                   "Positions that the exported model declares; at least "
                                   "`training.sequence`.",
                                   "`training.sequence`"},
                                  {1, 4294967296}),
    number<&C::model, &M::rope_theta>({"model.rope_theta", "Base of the rotary positions."},
                                      {.min = 0, .max = 1e15, .above_min = true}),
    ConfigKey{"model.rms_eps",
              "",
              "Added to the mean square in every norm.",
              {.min = 0, .max = 1, .above_min = true},
              read_rms_eps,
              write_rms_eps},
    boolean<&C::model, &M::tied_head>(
        {"model.tied", "The output head is the embedding. `bitnet` has no other."}),
    number<&C::init_std>({"model.init_std",
                          "Standard deviation of the first weights. Without sub-norms, the two "
                          "products that write to the residual stream get it divided by "
                          "sqrt(2 `model.layers`)."},
                         {.min = 0, .max = 10, .above_min = true}),
    number<&C::sub_norm_init>({"model.sub_norm_init",
                               "First weights of the norms before each block's last product: "
                               "small, so that a block begins by adding little to the residual "
                               "stream."},
                              {.min = 0, .max = 10}),

    optional_path<&C::start, &StartConfig::model>(
        {"start.model",
         "A Hugging Face folder with float weights to go on from: a full-precision model, the "
         "master weights of a b1.58 one, or a checkpoint of tern's. Its shape takes the place of "
         "`[model]`'s. Empty: random weights."}),
    boolean<&C::start, &StartConfig::sub_norms>(
        {"start.sub_norms",
         "Insert norms before each block's last product, which the model does not have; they begin "
         "at `model.sub_norm_init` (1 unless given)."}),
    boolean<&C::start, &StartConfig::random>(
        {"start.random", "Take only the model's shape and tokenizer; begin with random weights."}),

    word<kWarmupWords, &C::warmup, &W::kind>(
        {"quantization.warmup",
         "How the share of quantisation rises from 0 to 1: `none` (1 at once), `linear`, "
         "`exponential` or `sigmoid`; see below."}),
    whole<&C::warmup, &W::steps>({"quantization.warmup_steps", "Steps until it is 1."}, {1, kMost}),
    number<&C::warmup, &W::sharpness>(
        {"quantization.sharpness",
         "The *k* of the formulas; 0: 6 for `exponential`, 100 for `sigmoid`."},
        {0, 10000}),

    path<&C::tokenizer>(
        {"tokenizer.path",
         "What `tern tokenizer train` wrote, or the tokenizer of any model; it gives "
         "the size of the vocabulary. With `start.model`, that model's.",
         "required"}),

    paths<&C::train_text, &T::paths>(
        {"data.train", "Text files, `.jsonl` files, or folders of them.", "required"}),
    paths<&C::held_out_text, &T::paths>({"data.held_out",
                                         "Text that is only measured on. Empty: a share of "
                                         "`data.train` is set aside."}),
    number<&C::holdout>({"data.holdout", "That share, where `data.held_out` is empty."},
                        {.min = 0, .max = 0.5, .above_min = true}),
    ConfigKey{"data.separator",
              "",
              "The line, or a list of lines, that stand between documents of a plain file, such as "
              "`<\\|endoftext\\|>`. None: a file is one document.",
              {},
              read_separators,
              write_separators},
    ConfigKey{"data.field",
              "",
              "The field of each `.jsonl` line that holds the text, or the messages.",
              {},
              read_field,
              write_field},
    ConfigKey{"data.form",
              "",
              "`text`, or `messages`: conversations, of which the assistant's words are learnt.",
              {},
              read_form,
              write_form},

    path<&C::out>({"training.out", "The run's folder.", "required"}),
    whole<&C::seed>({"training.seed", "Of the first weights and of the order of the text."},
                    {0, kMost}),
    whole<&C::sequence>({"training.sequence", "Tokens in one sequence."}, {1, kWidth}),
    whole<&C::batch>({"training.batch", "Sequences in one forward pass."}, {1, 65536}),
    whole<&C::accumulate>({"training.accumulate", "Forward passes whose gradients make one step."},
                          {1, 65536}),
    whole<&C::tokens>(
        {"training.tokens", "Budget in tokens; 0: none. One of the two budgets must be given."},
        {0, kMost}),
    number<&C::minutes>(
        {"training.minutes", "Budget in minutes of wall time, over all parts of the run; 0: none."},
        {0, 1e7}),
    word<kPrecisionWords, &C::precision>(
        {"training.precision", "`f32`, `bf16`, or `auto`: bf16 where the CPU multiplies it."}),
    word<kProductsWords, &C::products>({"training.products",
                                        "`tern`: int8 times ternary on tern's kernels; `libtorch`: "
                                        "each layer by itself, slower, to "
                                        "compare with."}),
    word<kReductionWords, &C::loss>(
        {"training.loss",
         "`mean` or `sum` over the targets of a step; what is written down is the mean."}),
    whole<&C::threads>({"training.threads", "0: the CPUs that this process may use."}, {0, 4096}),

    number<&C::beta1>({"optimizer.beta1", "AdamW's first moment."}, kBeta),
    number<&C::beta2>({"optimizer.beta2", "AdamW's second moment."}, kBeta),
    number<&C::epsilon>({"optimizer.epsilon", "AdamW's epsilon."},
                        {.min = 0, .max = 1, .above_min = true}),
    number<&C::clip>({"optimizer.clip", "Longer gradients are cut to this norm; 0: none are."},
                     {0, 1e9}),

    word<kScheduleWords, &C::schedule, &S::kind>(
        {"schedule.kind", "`two-stage`, `wsd`, `cosine`, `linear` or `constant`; see below."}),
    number<&C::schedule, &S::learning_rate>({"schedule.learning_rate", "The peak."}, kRate),
    number<&C::schedule, &S::second_learning_rate>(
        {"schedule.second_learning_rate", "`two-stage`: the peak of the second line."}, kRate),
    number<&C::schedule, &S::weight_decay>(
        {"schedule.weight_decay", "On matrices alone, not on norms."}, {0, 10}),
    number<&C::schedule, &S::second_weight_decay>(
        {"schedule.second_weight_decay", "`two-stage`: from the switch on."}, {0, 10}),
    number<&C::schedule, &S::switch_at>(
        {"schedule.switch_at", "`two-stage`: share of the run before the switch."}, kShare),
    number<&C::schedule, &S::decay_share>(
        {"schedule.decay_share", "`wsd`: share of the run, at its end, in which the rate falls."},
        kShare),
    number<&C::schedule, &S::final_ratio>(
        {"schedule.final_ratio", "`wsd`, `cosine`, `linear`: last rate over peak."}, kShare),
    whole<&C::schedule, &S::warmup_steps>(
        {"schedule.warmup_steps", "Steps in which the rate rises from 0."}, kSteps),

    optional_path<&C::distil, &D::teacher>(
        {"distil.teacher",
         "A full-precision model's folder, of the same vocabulary. Empty: none."}),
    number<&C::distil, &D::temperature>(
        {"distil.temperature", "Of the teacher's and the student's distributions."},
        {.min = 0, .max = 1000, .above_min = true}),
    number<&C::distil, &D::text>({"distil.text", "Weight of the text's cross-entropy."}, kWeight),
    number<&C::distil, &D::logits>(
        {"distil.logits", "Weight of the divergence from the teacher's next token."}, kWeight),
    number<&C::distil, &D::attention>(
        {"distil.attention", "Weight of the divergence of attention relations at one layer."},
        kWeight),
    ConfigKey{"distil.layer",
              "",
              "That layer, from 0; negative: from the last one.",
              {},
              read_layer,
              write_layer},
    whole<&C::distil, &D::relation_heads>(
        {"distil.relation_heads", "Heads of those relations; 0: the student's `kv_heads`."},
        {0, 65536}),

    whole<&C::lora, &L::rank>(
        {"lora.rank",
         "Rank of the adapter that is trained while the model stays as it is; 0: none."},
        {0, 65536}),
    number<&C::lora, &L::alpha>({"lora.alpha", "The adapter counts `alpha` / `rank` times."},
                                {.min = 0, .max = 1e6, .above_min = true}),
    ConfigKey{"lora.targets", "", "Linear layers that have one.", {}, read_targets, write_targets},

    whole<&C::evaluate_every>(
        {"evaluate.every", "Steps between held-out losses; 0: only at the end."}, kSteps),
    whole<&C::evaluate_tokens>(
        {"evaluate.tokens", "Held-out tokens of each; 0: all. The end measures on all."},
        {0, kMost}),
    whole<&C::sample_every>(
        {"evaluate.sample_every", "Steps between samples of text; 0: only at the end."}, kSteps),
    whole<&C::sample_tokens>({"evaluate.sample_tokens", "Tokens of a sample."}, {1, kWidth}),
    ConfigKey{"evaluate.prompts",
              "",
              "Beginnings of the samples, one sample each; an empty list: none are written.",
              {},
              read_prompts,
              write_prompts},

    whole<&C::checkpoint_every>(
        {"checkpoint.every",
         "Steps between checkpoints; 0: none by steps. The end always writes "
         "one."},
        kSteps),
    number<&C::checkpoint_minutes>(
        {"checkpoint.minutes", "Also after so much wall time; 0: none by time."}, {0, 1e7}),
    whole<&C::keep>({"checkpoint.keep", "So many of the newest are kept, and the best besides."},
                    {1, 1000000}),

    number<&C::spike>({"guards.spike",
                       "A loss so many nats above its running mean skips its step; 0: none is "
                       "skipped."},
                      {0, 1000}),

    number<&C::distributed, &DistributedConfig::bucket_megabytes>(
        {"distributed.bucket_megabytes",
         "Gradients are added up in pieces of this size, while the backward pass goes on."},
        {0, 4096, true}),
    number<&C::distributed, &DistributedConfig::join>(
        {"distributed.join", "Seconds in which all processes have to come."}, {0, 1e6, true}),
    number<&C::distributed, &DistributedConfig::silence>(
        {"distributed.silence",
         "Seconds without a sign of life until a process counts as lost, which ends all."},
        {1, 1e6}),
    boolean<&C::distributed, &DistributedConfig::shard_optimizer>(
        {"distributed.shard_optimizer",
         "Each process updates its share of the quantised layers and sends their digits, two bits "
         "each, to the others."}),
};

}  // namespace

void KeyValue::wrong(const std::string& expected) const {
  throw Error(ErrorCode::kBadArgument,
              where + ": " + toml_literal(json) + " found, expected " + expected);
}

std::uint64_t KeyValue::whole(const Range& range) const {
  // A number that is whole, however it is written: 10_000_000 or 1e7.
  if (!json.is_number()) wrong(expectation("a whole number", range));
  const double value = json.get<double>();
  if (!inside(value, range) || value != std::floor(value)) {
    wrong(expectation("a whole number", range));
  }
  return static_cast<std::uint64_t>(value);
}

double KeyValue::number(const Range& range) const {
  if (!json.is_number() || !inside(json.get<double>(), range)) {
    wrong(expectation("a number", range));
  }
  return json.get<double>();
}

bool KeyValue::boolean() const {
  if (!json.is_boolean()) wrong("true or false");
  return json.get<bool>();
}

std::string KeyValue::text() const {
  if (json.is_string()) return json.get<std::string>();
  if (bare.empty()) wrong("a string");
  return bare;
}

std::vector<std::string> KeyValue::texts() const {
  if (!json.is_array()) return {text()};
  std::vector<std::string> list;
  for (const Json& item : json) {
    if (!item.is_string()) wrong("a list of strings");
    list.push_back(item.get<std::string>());
  }
  return list;
}

std::filesystem::path KeyValue::path() const {
  const std::string name = text();
  if (name.empty()) wrong("a path");
  return std::filesystem::absolute(base / name).lexically_normal();
}

std::vector<std::filesystem::path> KeyValue::paths() const {
  std::vector<std::filesystem::path> list;
  for (const std::string& name : texts()) {
    if (name.empty()) wrong("paths");
    list.push_back(std::filesystem::absolute(base / name).lexically_normal());
  }
  return list;
}

std::span<const ConfigKey> config_keys() noexcept { return kKeys; }

std::string_view name(WeightKind kind) noexcept { return word_of(kWeightWords, kind); }
std::string_view name(ScheduleKind kind) noexcept { return word_of(kScheduleWords, kind); }
std::string_view name(Precision precision) noexcept { return word_of(kPrecisionWords, precision); }

std::string markdown_table(std::string_view section) {
  const TrainConfig defaults;
  std::string out = "| key | default | meaning |\n|---|---|---|\n";
  for (const ConfigKey& key : kKeys) {
    if (key.name.substr(0, key.name.find('.')) != section) continue;
    const std::string value = key.otherwise.empty() ? "`" + toml_literal(key.write(defaults)) + "`"
                                                    : std::string(key.otherwise);
    out += "| `" + std::string(key.name.substr(section.size() + 1)) + "` | " + value + " | " +
           std::string(key.meaning) + " |\n";
  }
  return out;
}

}  // namespace tern::train
