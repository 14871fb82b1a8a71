// From logits to the next token, in llama.cpp's order: bias, penalties, top-k, typical, top-p,
// min-p, temperature, then one draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tern/model/head.h"

namespace tern::engine {

struct TokenBias {
  std::uint32_t id;
  double bias;
};

// Defaults are llama.cpp's. Every filter has a value that turns it off.
struct SamplerParams {
  double temperature = 0.8;           // 0 or less: the best token, without a draw.
  std::size_t top_k = 40;             // 0: off.
  double typical_p = 1.0;             // 1: off.
  double top_p = 0.95;                // 1: off.
  double min_p = 0.05;                // 0: off.
  double repeat_penalty = 1.0;        // 1: off. Divides positive logits, multiplies negative ones.
  double presence_penalty = 0;        // 0: off. Taken off the logit of every token seen.
  double frequency_penalty = 0;       // 0: off. Taken off once per time seen.
  std::size_t repeat_last_n = 64;     // How many of the last tokens count as seen.
  std::vector<TokenBias> logit_bias;  // Added first. Each id once, and below the vocabulary size.
  std::uint64_t seed = 0;
};

// Throws Error(kBadArgument) naming the first value out of its range.
void validate(const SamplerParams& params);

// One text's sampler: its random state and what it has seen. Copyable; not for several threads at
// once. The same seed and logits give the same tokens on every machine: the generator is
// splitmix64, exp and log are tern's own, ties go to the lower id.
class Sampler {
 public:
  explicit Sampler(const SamplerParams& params);

  // Picks from `logits` (one per id). Throws Error(kUnsupported) where a logit is not finite.
  std::uint32_t sample(std::span<const float> logits);

  // The few logits from which the next sample(list) picks the token that sample(logits) would pick
  // of all, from the same random state; nullopt where the chain needs all. Few suffice for the best
  // token, for top-k and what follows it, and for min-p alone. Valid until accept().
  std::optional<model::BestRequest> request();
  // `list` is what model::Head::best gave for request().
  std::uint32_t sample(std::span<const model::TokenLogit> list);
  // Tells what stands in the text (prompt tokens too), for the penalties.
  void accept(std::uint32_t token);

 private:
  struct Candidate {
    float logit;
    std::uint32_t id;
    double p;
  };
  static bool better(const Candidate& a, const Candidate& b) noexcept;
  bool penalises() const noexcept;
  void bias();
  void add(std::uint32_t id, float logit);
  std::uint32_t choose();
  void penalise();
  void keep_top_k();
  void keep_typical();
  void keep_top_p();
  void keep_min_p();
  void softmax();
  std::uint32_t draw();

  SamplerParams params_;
  std::uint64_t state_;
  std::vector<std::uint32_t> seen_;      // The last repeat_last_n tokens.
  std::vector<std::uint32_t> distinct_;  // Whose logits the chain changes, for request().
  std::vector<Candidate> candidates_;
};

// log softmax of one row of logits in double: log_probs[id]. For scoring.
void log_softmax(std::span<const float> logits, std::span<double> log_probs);

}  // namespace tern::engine
