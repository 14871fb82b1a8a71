// What conversion adds to a model's own config: the rule behind rope factors, and the storage.
#include "tern/convert/hf_config_out.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tern/arch/rope_frequencies.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/checkpoint/hf_config_out.h"

namespace tern::convert {
namespace {

using arch::ModelConfig;

bool close(const std::vector<double>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, float y) {
    return std::abs(x - static_cast<double>(y)) <= 1e-6 * std::abs(x);
  });
}

const tokenizer::TokenizerData* tokenizer_of(const checkpoint::Checkpoint& in) {
  return in.tokenizer() ? &*in.tokenizer() : nullptr;
}

// The rule of Llama 3.1 that makes the model's rope factors. A GGUF holds only the factors.
std::optional<arch::Llama3RopeScaling> llama3_scaling(const ModelConfig& config,
                                                      std::string_view what) {
  if (config.rope_llama3) return config.rope_llama3;
  const auto& factors = config.rope_factors;
  if (std::ranges::all_of(factors, [](float f) { return f == 1; })) return std::nullopt;
  ModelConfig guess = config;
  guess.rope_factors.clear();
  arch::Llama3RopeScaling scaling;
  scaling.factor = static_cast<double>(*std::ranges::max_element(factors));
  for (std::uint64_t context = 32; context <= std::uint64_t{1} << 20; context *= 2) {
    scaling.original_context = context;
    guess.rope_llama3 = scaling;
    if (close(arch::rope_factors(guess), factors)) return scaling;
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: rope_freqs.weight holds factors that rope_type \"llama3\" does not "
                          "make, and config.json cannot hold others",
                          what));
}

Json new_config(const checkpoint::Checkpoint& in) {
  ModelConfig config = in.config();
  config.rope_llama3 = llama3_scaling(config, in.name());
  return checkpoint::hf_config(config, tokenizer_of(in), in.name());
}

Json source_config(const checkpoint::Checkpoint& in) {
  const std::filesystem::path path = in.folder() / "config.json";
  Json json = parse_json(read_text_file(path), path.string());
  json["tie_word_embeddings"] = in.config().tied_head;
  json.erase("dtype");
  return json;
}

std::string torch_name(DType type) {
  return type == DType::kBF16 ? "bfloat16" : type == DType::kF16 ? "float16" : "float32";
}

}  // namespace

Json config_json(const checkpoint::Checkpoint& in, const HfBody& body) {
  Json json = in.folder().empty() ? new_config(in) : source_config(in);
  json["torch_dtype"] = torch_name(body.dtype);
  std::vector<std::string> apart{"lm_head"};
  if (const auto old = json.find("quantization_config"); old != json.end() && old->is_object()) {
    const auto list = old->find("modules_to_not_convert");
    if (list != old->end() && list->is_array()) {
      for (const Json& name : *list) apart.push_back(name.get<std::string>());
    }
  }
  json.erase("quantization_config");
  if (in.config().declares_float) {  // Without it, an architecture of b1.58 would be quantised.
    json["quantization_config"] = {{"quant_method", "tern"}, {"weights", "fp"}};
  }
  if (in.config().sub_norms && !arch::architecture(in.config().arch).sub_norms) {
    if (body.packed || !in.config().declares_float) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: training inserted norms that a quantised folder of {} cannot "
                              "declare to other programs, expected a GGUF as the output",
                              in.name(), arch::architecture(in.config().arch).name));
    }
    json["quantization_config"]["sub_norms"] = true;
  }
  if (!body.packed) return json;
  apart.insert(apart.end(), body.not_packed.begin(), body.not_packed.end());
  std::ranges::sort(apart);
  apart.erase(std::unique(apart.begin(), apart.end()), apart.end());
  const bool divides = body.linear_class == LinearClass::kBitLinear;
  json["quantization_config"] = {{"quant_method", "bitnet"},
                                 {"linear_class", divides ? "bitlinear" : "autobitlinear"},
                                 {"quantization_mode", "offline"},
                                 {"modules_to_not_convert", apart}};
  return json;
}

Json generation_json(const checkpoint::Checkpoint& in) {
  Json json = checkpoint::hf_generation_config(tokenizer_of(in));
  const checkpoint::GenerationDefaults& defaults = in.generation();
  if (defaults.temperature) json["temperature"] = *defaults.temperature;
  if (defaults.top_p) json["top_p"] = *defaults.top_p;
  if (defaults.top_k) json["top_k"] = *defaults.top_k;
  if (defaults.repetition_penalty) json["repetition_penalty"] = *defaults.repetition_penalty;
  return json;
}

}  // namespace tern::convert
