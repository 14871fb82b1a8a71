// Facts of a model as JSON.
#include "tern/cli/model_facts.h"

#include <filesystem>
#include <numeric>

#include "tern/arch/architecture.h"
#include "tern/convert/digit_counts.h"

namespace tern::cli {
namespace {

Json share_json(const convert::DigitCounts& counts) {
  const auto all = static_cast<double>(counts[0] + counts[1] + counts[2]);
  if (all == 0) return nullptr;
  return {{"-1", static_cast<double>(counts[0]) / all},
          {"0", static_cast<double>(counts[1]) / all},
          {"+1", static_cast<double>(counts[2]) / all}};
}

}  // namespace

Json model_facts(const checkpoint::Checkpoint& model, ThreadPool& pool,
                 const std::function<bool()>& keep_going) {
  const arch::ModelConfig& config = model.config();
  const arch::Architecture& architecture = arch::architecture(config.arch);
  std::uint64_t weights = 0, bytes = 0;
  Json types = Json::object();
  for (const auto& tensor : model.tensors()) {
    weights += std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::uint64_t{1},
                               std::multiplies<>());
    bytes += tensor.bytes;
    types[tensor.type] = types.value(tensor.type, std::uint64_t{0}) + tensor.bytes;
  }
  convert::DigitCounts all{};
  Json layers = Json::array();
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    if (!keep_going()) return nullptr;
    convert::DigitCounts counts{};
    for (const arch::TensorSpec& spec : architecture.tensors) {
      if (!spec.linear) continue;
      const Matrix matrix = model.matrix(spec.role, layer, pool);
      const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
      if (ternary == nullptr) continue;
      const convert::DigitCounts some = convert::count_digits(*ternary, pool);
      for (std::size_t d = 0; d < some.size(); ++d) counts[d] += some[d];
    }
    for (std::size_t d = 0; d < all.size(); ++d) all[d] += counts[d];
    layers.push_back(share_json(counts));
  }
  return {{"architecture", architecture.name},
          {"path", std::filesystem::path(model.name()).filename().string()},
          {"format", model.format()},
          {"parameters", weights},
          {"bytes", bytes},
          {"types", std::move(types)},
          {"layers", config.layers},
          {"hidden", config.hidden},
          {"ffn", config.ffn},
          {"heads", config.heads},
          {"kv_heads", config.kv_heads},
          {"vocab", config.vocab},
          {"context", config.context},
          {"activation", arch::activation_name(config.activation)},
          {"ternary", share_json(all)},
          {"ternary_layers", std::move(layers)}};
}

}  // namespace tern::cli
