// The sampler chain.
#include "tern/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "tern/base/error.h"
#include "tern/base/math.h"

namespace tern::engine {
namespace {

void require(bool right, const char* name, double value, const char* expected) {
  if (right) return;
  std::string shown = std::to_string(value);
  throw Error(ErrorCode::kBadArgument,
              std::string(name) + " is " + shown + ", expected " + expected);
}

}  // namespace

void validate(const SamplerParams& p) {
  require(std::isfinite(p.temperature), "temperature", p.temperature, "a finite number");
  require(p.typical_p > 0 && p.typical_p <= 1, "typical", p.typical_p, "more than 0, at most 1");
  require(p.top_p > 0 && p.top_p <= 1, "top-p", p.top_p, "more than 0, at most 1");
  require(p.min_p >= 0 && p.min_p < 1, "min-p", p.min_p, "0 or more, less than 1");
  require(p.repeat_penalty > 0 && std::isfinite(p.repeat_penalty), "repeat-penalty",
          p.repeat_penalty, "a finite number above 0");
  require(std::isfinite(p.presence_penalty), "presence-penalty", p.presence_penalty,
          "a finite number");
  require(std::isfinite(p.frequency_penalty), "frequency-penalty", p.frequency_penalty,
          "a finite number");
  for (const TokenBias& one : p.logit_bias) {
    require(std::isfinite(one.bias), "logit-bias", one.bias, "a finite number");
  }
}

Sampler::Sampler(const SamplerParams& params) : params_(params), state_(params.seed) {
  validate(params);
}

void Sampler::accept(std::uint32_t token) {
  if (params_.repeat_last_n == 0) return;
  if (seen_.size() == params_.repeat_last_n) seen_.erase(seen_.begin());
  seen_.push_back(token);
}

bool Sampler::penalises() const noexcept {
  return params_.repeat_penalty != 1 || params_.presence_penalty != 0 ||
         params_.frequency_penalty != 0;
}

std::optional<model::BestRequest> Sampler::request() {
  model::BestRequest request;
  if (params_.temperature <= 0) {
    request.count = 1;
  } else if (params_.top_k > 0) {
    request.count = params_.top_k;
  } else if (params_.min_p > 0 && params_.typical_p >= 1 && params_.top_p >= 1) {
    // A little more than -log(min_p): keep_min_p compares rounded numbers.
    request.within = static_cast<float>(0.001 - 1.0001 * math::log(params_.min_p));
  } else {
    return std::nullopt;
  }
  // A penalty can lift a logit as well as lower it.
  if (penalises() || !params_.logit_bias.empty()) {
    distinct_.clear();
    if (penalises()) distinct_ = seen_;
    for (const TokenBias& one : params_.logit_bias) distinct_.push_back(one.id);
    std::ranges::sort(distinct_);
    const auto [first, last] = std::ranges::unique(distinct_);
    distinct_.erase(first, last);
    request.always = distinct_;
  }
  return request;
}

void Sampler::add(std::uint32_t id, float logit) {
  if (!std::isfinite(logit)) {
    throw Error(ErrorCode::kUnsupported,
                "logit of token " + std::to_string(id) + " is " + std::to_string(logit) +
                    ", expected a finite number: the model's weights are broken");
  }
  candidates_.push_back({logit, id, 0});
}

std::uint32_t Sampler::sample(std::span<const float> logits) {
  candidates_.clear();
  candidates_.reserve(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    add(static_cast<std::uint32_t>(id), logits[id]);
  }
  return choose();
}

std::uint32_t Sampler::sample(std::span<const model::TokenLogit> list) {
  candidates_.clear();
  for (const model::TokenLogit& one : list) add(one.id, one.logit);
  return choose();
}

std::uint32_t Sampler::choose() {
  if (!params_.logit_bias.empty()) bias();
  if (penalises()) penalise();
  if (params_.temperature <= 0) {
    return std::ranges::min_element(candidates_, better)->id;  // The first of the order.
  }
  keep_top_k();
  keep_typical();
  keep_top_p();
  keep_min_p();
  for (Candidate& c : candidates_) {
    c.logit = static_cast<float>(static_cast<double>(c.logit) / params_.temperature);
  }
  return draw();
}

void Sampler::bias() {
  for (const TokenBias& one : params_.logit_bias) {
    const auto found = std::ranges::find(candidates_, one.id, &Candidate::id);
    if (found == candidates_.end()) continue;  // Not allowed by a grammar.
    found->logit = static_cast<float>(static_cast<double>(found->logit) + one.bias);
  }
}

void Sampler::penalise() {
  std::map<std::uint32_t, int> counts;
  for (const std::uint32_t id : seen_) ++counts[id];
  for (Candidate& c : candidates_) {
    const auto found = counts.find(c.id);
    if (found == counts.end()) continue;
    double logit = static_cast<double>(c.logit);
    logit = logit > 0 ? logit / params_.repeat_penalty : logit * params_.repeat_penalty;
    logit -= found->second * params_.frequency_penalty + params_.presence_penalty;
    c.logit = static_cast<float>(logit);
  }
}

// The order of candidates: best first, equal logits by id.
bool Sampler::better(const Candidate& a, const Candidate& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// After this the candidates stand best first; equal logits by id.
void Sampler::keep_top_k() {
  const std::size_t k =
      params_.top_k == 0 ? candidates_.size() : std::min(params_.top_k, candidates_.size());
  std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k),
                    candidates_.end(), better);
  candidates_.resize(k);
}

// Probabilities of the candidates left, in their order.
void Sampler::softmax() {
  double best = -HUGE_VAL;
  for (const Candidate& c : candidates_) best = std::max(best, static_cast<double>(c.logit));
  double sum = 0;
  for (Candidate& c : candidates_) {
    c.p = math::exp(static_cast<double>(c.logit) - best);
    sum += c.p;
  }
  for (Candidate& c : candidates_) c.p /= sum;
}

// Locally typical sampling (Meister et al., 2022): those whose surprise is nearest to the entropy,
// until they hold typical_p of the probability.
void Sampler::keep_typical() {
  if (params_.typical_p >= 1) return;
  softmax();
  double entropy = 0;
  for (const Candidate& c : candidates_) {
    if (c.p > 0) entropy -= c.p * math::log(c.p);
  }
  const auto distance = [&](const Candidate& c) {
    return c.p > 0 ? std::abs(-math::log(c.p) - entropy) : HUGE_VAL;
  };
  std::ranges::sort(candidates_, [&](const Candidate& a, const Candidate& b) {
    const double da = distance(a), db = distance(b);
    return da != db ? da < db : better(a, b);
  });
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && sum <= params_.typical_p) sum += candidates_[kept++].p;
  candidates_.resize(kept);
  std::ranges::sort(candidates_, better);
}

// Nucleus sampling (Holtzman et al., 2019): the best, until they hold top_p of the probability.
void Sampler::keep_top_p() {
  if (params_.top_p >= 1) return;
  softmax();
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates_.size() && sum < params_.top_p) sum += candidates_[kept++].p;
  candidates_.resize(kept);
}

// Those at least min_p times as probable as the best. The sum of all does not enter, so that a
// candidate that is out anyway decides nothing by having been here.
void Sampler::keep_min_p() {
  if (params_.min_p <= 0 || candidates_.empty()) return;
  const auto best = static_cast<double>(candidates_[0].logit);
  std::size_t kept = 1;
  while (kept < candidates_.size() &&
         math::exp(static_cast<double>(candidates_[kept].logit) - best) >= params_.min_p) {
    ++kept;
  }
  candidates_.resize(kept);
}

std::uint32_t Sampler::draw() {
  softmax();
  state_ += 0x9e3779b97f4a7c15u;  // splitmix64 (Steele, Lea, Flood, 2014).
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  const double u = static_cast<double>(z >> 11) * 0x1p-53;
  double sum = 0;
  for (const Candidate& c : candidates_) {
    sum += c.p;
    if (u < sum) return c.id;
  }
  return candidates_.back().id;  // Rounding left the sum below u.
}

void log_softmax(std::span<const float> logits, std::span<double> log_probs) {
  double best = -HUGE_VAL;
  for (const float x : logits) best = std::max(best, static_cast<double>(x));
  double sum = 0;
  for (const float x : logits) sum += math::exp(static_cast<double>(x) - best);
  const double log_sum = best + math::log(sum);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    log_probs[i] = static_cast<double>(logits[i]) - log_sum;
  }
}

}  // namespace tern::engine
