// All without gradients.
#include "tern/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "tern/base/utf8.h"

namespace tern::train {
namespace {

using torch::Tensor;

}  // namespace

HeldOut held_out_loss(Transformer& model, const corpus::TokenShards& shards, std::int64_t sequence,
                      std::int64_t batch, std::uint64_t limit) {
  const torch::NoGradGuard no_grad;
  const auto width = static_cast<std::uint64_t>(sequence);
  std::uint64_t windows = (shards.tokens() - 1) / width;
  if (limit > 0) windows = std::min(windows, std::max<std::uint64_t>(1, limit / width));
  HeldOut out;
  double sum = 0;
  for (std::uint64_t first = 0; first < windows;) {
    const auto rows = static_cast<std::int64_t>(
        std::min<std::uint64_t>(static_cast<std::uint64_t>(batch), windows - first));
    Tensor ids = torch::empty({rows, sequence + 1}, torch::kInt64);
    for (std::int64_t r = 0; r < rows; ++r) {
      shards.read((first + static_cast<std::uint64_t>(r)) * width,
                  std::span(ids.data_ptr<std::int64_t>() + r * (sequence + 1), width + 1));
    }
    const double loss =
        model->loss(ids.slice(1, 0, sequence), ids.slice(1, 1, sequence + 1)).item<double>();
    sum += loss * static_cast<double>(rows);
    first += static_cast<std::uint64_t>(rows);
  }
  out.loss = sum / static_cast<double>(windows);
  out.scored = windows * width;
  out.bits_per_byte = out.loss / std::numbers::ln2 * static_cast<double>(shards.tokens()) /
                      static_cast<double>(shards.text_bytes());
  return out;
}

Json weight_shares(Transformer& model, Digits& before) {
  const torch::NoGradGuard no_grad;
  Json layers = Json::array();
  for (auto& [name, layer] : model->bit_linears()) {
    const WeightFormat format = layer->options.format();
    if (format.kind == WeightKind::kFullPrecision) continue;
    const Tensor digits = weight_digits(layer->weight, format);
    const double all = static_cast<double>(digits.numel());
    const auto share = [&](int digit) {
      return static_cast<double>(digits.eq(digit).sum().item<std::int64_t>()) / all;
    };
    double flipped = 0;
    if (const auto old = before.find(name); old != before.end()) {
      flipped = static_cast<double>(digits.ne(old->second).sum().item<std::int64_t>()) / all;
    }
    layers.push_back({{"name", name},
                      {"minus", share(-1)},
                      {"zero", share(0)},
                      {"plus", share(1)},
                      {"flipped", flipped}});
    before[name] = digits;
  }
  return layers;
}

std::string sample_text(Transformer& model, const tokenizer::Tokenizer& tokenizer,
                        const std::string& prompt, std::size_t count, double temperature,
                        std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<std::uint32_t> start = tokenizer.encode_with_bos(prompt);
  if (start.empty()) start.push_back(tokenizer.data().eos.value_or(0));
  std::vector<std::int64_t> ids(start.begin(), start.end());
  std::vector<std::uint32_t> made;
  const std::size_t context = model->options().config.context;
  while (made.size() < count) {
    const std::size_t from = ids.size() > context ? ids.size() - context : 0;
    const Tensor seen = torch::tensor(
        std::vector<std::int64_t>(ids.begin() + static_cast<std::ptrdiff_t>(from), ids.end()));
    const Tensor last = model->hidden_states(seen.unsqueeze(0)).select(1, seen.size(0) - 1);
    const Tensor chances = (model->logits(last).squeeze(0) / temperature).softmax(-1);
    const std::int64_t id = chances.multinomial(1, false, generator).item<std::int64_t>();
    if (tokenizer.is_end(static_cast<std::uint32_t>(id))) break;
    ids.push_back(id);
    made.push_back(static_cast<std::uint32_t>(id));
  }
  return valid_utf8(tokenizer.decode(made));
}

}  // namespace tern::train
