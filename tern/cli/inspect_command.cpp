// `tern inspect`: what a model is, how it is stored, and the share of -1, 0 and +1 in every layer.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/json.h"
#include "tern/base/size_text.h"
#include "tern/base/system.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"
#include "tern/convert/digit_counts.h"

namespace tern::cli {
namespace {

using checkpoint::Checkpoint;
using checkpoint::TensorInfo;
using convert::DigitCounts;

// Tensors of one storage type.
struct TypeSum {
  std::size_t tensors = 0;
  std::uint64_t weights = 0, bytes = 0;

  void add(std::uint64_t w, std::uint64_t b) {
    ++tensors;
    weights += w;
    bytes += b;
  }
  double bits_per_weight() const {
    return weights == 0 ? 0 : 8 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};

struct Inspection {
  const Checkpoint& model;
  std::vector<TensorInfo> tensors;
  std::map<std::string, TypeSum> types;
  TypeSum total;
  std::vector<DigitCounts> layers;  // Of the linear layers; all 0 where none is ternary.
  std::size_t group = 0;            // Columns per scale, where weights have such groups.
};

std::uint64_t weights_of(const TensorInfo& info) {
  return std::accumulate(info.shape.begin(), info.shape.end(), std::uint64_t{1},
                         std::multiplies<>());
}

Inspection inspect(const Checkpoint& model, ThreadPool& pool, const Progress& progress) {
  Inspection result{model, model.tensors(), {}, {}, {}, 0};
  for (const TensorInfo& info : result.tensors) {
    result.types[info.type].add(weights_of(info), info.bytes);
    result.total.add(weights_of(info), info.bytes);
  }
  const arch::ModelConfig& config = model.config();
  result.layers.resize(config.layers);
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (const arch::TensorSpec& spec : arch::architecture(config.arch).tensors) {
      if (!spec.linear) continue;
      const Matrix matrix = model.matrix(spec.role, layer, pool);
      const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
      if (ternary == nullptr) continue;
      const DigitCounts counts = convert::count_digits(*ternary, pool);
      for (std::size_t d = 0; d < counts.size(); ++d) result.layers[layer][d] += counts[d];
      result.group = std::max(result.group, ternary->group());
    }
    if (progress) {
      progress("counting", static_cast<double>(layer + 1) / static_cast<double>(config.layers));
    }
  }
  return result;
}

bool any(const DigitCounts& counts) { return counts[0] + counts[1] + counts[2] != 0; }

std::array<double, 3> shares(const DigitCounts& counts) {
  const auto all = static_cast<double>(counts[0] + counts[1] + counts[2]);
  return {static_cast<double>(counts[0]) / all, static_cast<double>(counts[1]) / all,
          static_cast<double>(counts[2]) / all};
}

DigitCounts sum_of(const std::vector<DigitCounts>& layers) {
  DigitCounts sum{};
  for (const DigitCounts& counts : layers) {
    for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += counts[d];
  }
  return sum;
}

std::string activation_rule(const Inspection& i) {
  if (!any(sum_of(i.layers))) return "float (no ternary layers)";
  if (!i.model.config().declares_b158 && i.group != 0) {
    return fmt::format("int8 per group of {}", i.group);
  }
  return "int8 per token";
}

std::string_view kind_name(tokenizer::TokenizerKind kind) {
  switch (kind) {
    case tokenizer::TokenizerKind::kByteBpe:
      return "byte-level BPE";
    case tokenizer::TokenizerKind::kSpmBpe:
      return "SentencePiece BPE";
    case tokenizer::TokenizerKind::kMergeSpm:
      return "SentencePiece BPE (merges)";
  }
  return "";
}

std::string tokenizer_text(const Checkpoint& model) {
  const auto& data = model.tokenizer();
  if (!data) return "none";
  std::string text = fmt::format("{}, {} pieces", kind_name(data->kind), data->pieces.size());
  if (data->kind == tokenizer::TokenizerKind::kByteBpe) {
    text += fmt::format(", pre-tokenizer {}", checkpoint::gguf_name(data->pre));
  }
  return text;
}

std::string rope_text(const arch::ModelConfig& c) {
  std::string text = fmt::format("base {:g}", c.rope_theta);
  if (c.rope_linear_factor != 1) text += fmt::format(", linear by {:g}", c.rope_linear_factor);
  if (c.rope_llama3) text += fmt::format(", llama3 scaling by {:g}", c.rope_llama3->factor);
  if (!c.rope_factors.empty()) text += ", factors from rope_freqs.weight";
  return text;
}

void print_config(const Inspection& i) {
  const arch::ModelConfig& c = i.model.config();
  const arch::Architecture& a = arch::architecture(c.arch);
  fmt::print("{}\n", i.model.name());
  fmt::print("  {}, {}, {:.3g} million weights, {}\n\n", i.model.format(), a.name,
             static_cast<double>(i.total.weights) / 1e6, size_text(i.total.bytes));
  fmt::print("  {:<16}{:>9}   {:<14}{:>9}   {:<12}{:>9}\n", "layers", c.layers, "hidden", c.hidden,
             "vocabulary", c.vocab);
  fmt::print("  {:<16}{:>9}   {:<14}{:>9}   {:<12}{:>9}\n", "heads", c.heads, "KV heads",
             c.kv_heads, "head size", c.head_dim);
  fmt::print("  {:<16}{:>9}   {:<14}{:>9}   {:<12}{:>9}\n\n", "FFN", c.ffn, "context", c.context,
             "head", c.tied_head ? "tied" : "own");
  const auto line = [](std::string_view name, const std::string& value) {
    fmt::print("  {:<16}{}\n", name, value);
  };
  line("gate",
       fmt::format("{} (from {})", arch::activation_name(c.activation), c.activation_source));
  line("activations", fmt::format("{} (from {})", activation_rule(i), c.activation_rule_source));
  line("norms", fmt::format("RMS, epsilon {:g}{}{}", c.rms_eps,
                            c.sub_norms ? ", sub-norms before o and down" : "",
                            c.qk_norm ? ", q and k per head" : ""));
  line("RoPE", rope_text(c));
  line("tokenizer", tokenizer_text(i.model));
  line("chat template", i.model.chat_template().empty() ? "none" : "yes");
}

void print_types(const Inspection& i) {
  fmt::print("\n  {:<36}{:>8}{:>16}{:>12}{:>12}\n", "type", "tensors", "weights", "bytes",
             "bits/weight");
  const auto row = [](const std::string& name, const TypeSum& sum) {
    fmt::print("  {:<36}{:>8}{:>16}{:>12}{:>12.2f}\n", name, sum.tensors, sum.weights,
               size_text(sum.bytes), sum.bits_per_weight());
  };
  std::vector<std::pair<std::string, TypeSum>> rows(i.types.begin(), i.types.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) {
    return a.second.bytes != b.second.bytes ? a.second.bytes > b.second.bytes : a.first < b.first;
  });
  for (const auto& [name, sum] : rows) row(name, sum);
  row("total", i.total);
}

void print_tensors(const Inspection& i) {
  fmt::print("\n  {:<46}{:<14}{:>16}\n", "tensor", "shape", "type");
  for (const TensorInfo& info : i.tensors) {
    fmt::print("  {:<46}{:<14}{:>16}\n", info.name, shape_text(info.shape), info.type);
  }
}

// A bar of `width` cells cut in proportion: -1, 0, +1.
std::string bar(const std::array<double, 3>& share, std::size_t width, bool colours) {
  constexpr std::array<const char*, 3> kCells{"\u2588", "\u2591", "\u2593"};  // Full, light, dark.
  constexpr std::array<const char*, 3> kColours{"\033[34m", "\033[90m", "\033[33m"};
  std::string text;
  double edge = 0;
  std::size_t drawn = 0;
  for (std::size_t d = 0; d < share.size(); ++d) {
    edge += share[d] * static_cast<double>(width);
    const auto until = std::min(width, static_cast<std::size_t>(std::lround(edge)));
    if (colours) text += kColours[d];
    for (; drawn < until; ++drawn) text += kCells[d];
  }
  return colours ? text + "\033[0m" : text;
}

void print_shares(const Inspection& i) {
  const DigitCounts all = sum_of(i.layers);
  if (!any(all)) return;
  const bool terminal = stdout_is_terminal();
  const bool colours = terminal && !environment("NO_COLOR");
  fmt::print("\n  {:<10}{:>9}{:>9}{:>9}\n", "share of", "-1", "0", "+1");
  const auto row = [&](const std::string& name, const DigitCounts& counts) {
    if (!any(counts)) return;
    const auto share = shares(counts);
    fmt::print("  {:<10}{:>7.1f} %{:>7.1f} %{:>7.1f} %", name, 100 * share[0], 100 * share[1],
               100 * share[2]);
    if (terminal) fmt::print("  {}", bar(share, 38, colours));
    fmt::print("\n");
  };
  for (std::size_t layer = 0; layer < i.layers.size(); ++layer) {
    row(fmt::format("layer {}", layer), i.layers[layer]);
  }
  row("all", all);
}

Json share_json(const DigitCounts& counts) {
  if (!any(counts)) return nullptr;
  const auto share = shares(counts);
  return {{"-1", share[0]}, {"0", share[1]}, {"+1", share[2]}};
}

Json type_json(const TypeSum& sum) {
  return {{"tensors", sum.tensors},
          {"weights", sum.weights},
          {"bytes", sum.bytes},
          {"bits_per_weight", sum.bits_per_weight()}};
}

Json config_json(const Inspection& i) {
  const arch::ModelConfig& c = i.model.config();
  return {{"layers", c.layers},
          {"hidden", c.hidden},
          {"ffn", c.ffn},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"vocab", c.vocab},
          {"context", c.context},
          {"rms_eps", c.rms_eps},
          {"rope", rope_text(c)},
          {"rope_theta", c.rope_theta},
          {"tied_head", c.tied_head},
          {"sub_norms", c.sub_norms},
          {"qk_norm", c.qk_norm},
          {"activation", arch::activation_name(c.activation)},
          {"activation_source", c.activation_source},
          {"activation_rule", activation_rule(i)},
          {"activation_rule_source", c.activation_rule_source}};
}

void print_json(const Inspection& i) {
  Json types = Json::object(), tensors = Json::array(), layers = Json::array();
  for (const auto& [name, sum] : i.types) types[name] = type_json(sum);
  for (const TensorInfo& info : i.tensors) {
    tensors.push_back(
        {{"name", info.name}, {"type", info.type}, {"shape", info.shape}, {"bytes", info.bytes}});
  }
  for (const DigitCounts& counts : i.layers) layers.push_back(share_json(counts));
  const arch::Architecture& a = arch::architecture(i.model.config().arch);
  fmt::print("{}\n", dump_json({{"path", i.model.name()},
                                {"name", i.model.config().name},
                                {"format", i.model.format()},
                                {"architecture", a.gguf_names.front()},
                                {"config", config_json(i)},
                                {"tokenizer", tokenizer_text(i.model)},
                                {"chat_template", !i.model.chat_template().empty()},
                                {"types", types},
                                {"total", type_json(i.total)},
                                {"layers", layers},
                                {"share", share_json(sum_of(i.layers))},
                                {"tensors", tensors}}));
}

}  // namespace

int run_inspect(std::span<const std::string> args) {
  CLI::App app("Shows a model's architecture, tensors, types and ternary shares.", "tern inspect");
  ModelOptions model;
  bool json = false, every_tensor = false;
  add_model_options(app, model);
  app.add_flag("--json", json, "one JSON object on stdout");
  app.add_flag("--tensors", every_tensor, "list every tensor");
  parse(app, args);

  ThreadPool pool(model.thread_count());
  const auto checkpoint = checkpoint::open_checkpoint(model.path(), model.open_options());
  const Inspection result = inspect(*checkpoint, pool, stderr_progress());
  if (json) {
    print_json(result);
    return 0;
  }
  print_config(result);
  print_types(result);
  if (every_tensor) print_tensors(result);
  print_shares(result);
  return 0;
}

}  // namespace tern::cli
