// Limits of what a model can be, so that no later product of two sizes overflows.
#include "tern/arch/model_config.h"

#include <cmath>

#include "tern/base/error.h"

namespace tern::arch {
namespace {

[[noreturn]] void fail(std::string_view what, const std::string& found,
                       const std::string& expected) {
  throw Error(ErrorCode::kCorruptFile,
              std::string(what) + ": " + found + " found, expected " + expected);
}

void check_size(std::string_view what, const char* name, std::size_t value, std::size_t limit) {
  if (value == 0 || value > limit) {
    fail(what, std::string(name) + " of " + std::to_string(value), "1 to " + std::to_string(limit));
  }
}

void check_positive(std::string_view what, const char* name, double value, double limit) {
  if (!(value > 0 && value <= limit)) {
    fail(what, std::string(name) + " of " + std::to_string(value),
         "more than 0 and at most " + std::to_string(limit));
  }
}

}  // namespace

void validate(const ModelConfig& c, std::string_view what) {
  // Wide enough for any model, and far from 2^63 when multiplied with each other.
  constexpr std::size_t kWidth = std::size_t{1} << 20;
  check_size(what, "a hidden size", c.hidden, kWidth);
  check_size(what, "a feed-forward size", c.ffn, kWidth);
  check_size(what, "a number of layers", c.layers, 1u << 16);
  check_size(what, "a number of attention heads", c.heads, 1u << 16);
  check_size(what, "a number of key-value heads", c.kv_heads, 1u << 16);
  check_size(what, "a head size", c.head_dim, 1u << 14);
  check_size(what, "a vocabulary size", c.vocab, std::size_t{1} << 28);
  check_size(what, "a context length", c.context, std::size_t{1} << 32);
  check_size(what, "heads times head size", c.q_width(), kWidth);
  if (c.heads % c.kv_heads != 0) {
    fail(what,
         std::to_string(c.heads) + " attention heads and " + std::to_string(c.kv_heads) +
             " key-value heads",
         "the first to be a multiple of the second");
  }
  if (c.head_dim % 2 != 0) {
    fail(what, "a head size of " + std::to_string(c.head_dim), "an even one");
  }
  check_positive(what, "an RMS norm epsilon", static_cast<double>(c.rms_eps), 1);
  check_positive(what, "a RoPE base", c.rope_theta, 1e15);
  check_positive(what, "a linear RoPE scaling factor", c.rope_linear_factor, 1e6);
  if (c.rope_llama3) {
    const Llama3RopeScaling& r = *c.rope_llama3;
    check_positive(what, "a llama3 RoPE scaling factor", r.factor, 1e6);
    check_positive(what, "a llama3 low_freq_factor", r.low_freq_factor, 1e6);
    check_positive(what, "a llama3 high_freq_factor", r.high_freq_factor, 1e6);
    check_size(what, "an original context length", r.original_context, std::size_t{1} << 32);
    if (r.high_freq_factor <= r.low_freq_factor) {
      fail(what, "a high_freq_factor of " + std::to_string(r.high_freq_factor),
           "more than the low_freq_factor of " + std::to_string(r.low_freq_factor));
    }
  }
  if (!c.rope_factors.empty() && c.rope_factors.size() != c.head_dim / 2) {
    fail(what, std::to_string(c.rope_factors.size()) + " RoPE frequency factors",
         "half the head size of " + std::to_string(c.head_dim));
  }
  for (const float factor : c.rope_factors) {
    check_positive(what, "a RoPE frequency factor", static_cast<double>(factor), 1e6);
  }
}

std::string_view activation_name(GateActivation activation) noexcept {
  switch (activation) {
    case GateActivation::kSilu:
      return "silu";
    case GateActivation::kReluSquared:
      return "relu2";
  }
  return "?";
}

}  // namespace tern::arch
