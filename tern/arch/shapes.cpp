// Published models as shapes without weights (tern synth, bench --shape, cost --shape).
#include <array>

#include "tern/arch/architecture.h"

namespace tern::arch {
namespace {

struct Shape {
  std::string_view name;
  std::size_t hidden, ffn, layers, heads, kv_heads, vocab;
  bool tied;
  double rope_theta;
  std::size_t context;
  ArchitectureId arch;
};

// The paper's own table gives 24 heads for its 700M; the published 1bitLLM model has 16.
constexpr std::array kShapes{
    Shape{"bitnet-2b4t", 2560, 6912, 30, 20, 5, 128256, true, 500000, 4096,
          ArchitectureId::kBitnetB158},
    Shape{"bitnet-700m", 1536, 4096, 24, 16, 16, 32002, true, 10000, 2048, ArchitectureId::kBitnet},
    Shape{"bitnet-1.3b", 2048, 5460, 24, 32, 32, 32002, true, 10000, 2048, ArchitectureId::kBitnet},
    Shape{"bitnet-3b", 3200, 8640, 26, 32, 32, 32002, true, 10000, 2048, ArchitectureId::kBitnet},
    Shape{"llama3-8b", 4096, 14336, 32, 32, 8, 128256, false, 500000, 8192, ArchitectureId::kLlama},
    Shape{"llama-13b", 5120, 13824, 40, 40, 40, 32000, false, 10000, 4096, ArchitectureId::kLlama},
    Shape{"llama-70b", 8192, 28672, 80, 64, 8, 32000, false, 10000, 4096, ArchitectureId::kLlama},
    Shape{"tiny", 512, 1024, 2, 4, 2, 512, true, 500000, 4096, ArchitectureId::kBitnetB158},
};

}  // namespace

std::optional<ModelConfig> named_shape(std::string_view name) {
  for (const Shape& shape : kShapes) {
    if (shape.name != name) continue;
    const Architecture& a = architecture(shape.arch);
    ModelConfig config;
    config.arch = shape.arch;
    config.name = shape.name;
    config.hidden = shape.hidden;
    config.ffn = shape.ffn;
    config.layers = shape.layers;
    config.heads = shape.heads;
    config.kv_heads = shape.kv_heads;
    config.head_dim = shape.hidden / shape.heads;
    config.vocab = shape.vocab;
    config.context = shape.context;
    config.rms_eps = 1e-5f;
    config.rope_theta = shape.rope_theta;
    config.activation = a.gguf_activation;
    config.activation_source = "architecture table";
    config.tied_head = shape.tied;
    config.sub_norms = a.sub_norms;
    config.qk_norm = a.qk_norm;
    config.declares_b158 = true;
    config.activation_rule_source = "named shape";
    return config;
  }
  return std::nullopt;
}

std::vector<std::string_view> shape_names() {
  std::vector<std::string_view> names;
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return names;
}

}  // namespace tern::arch
