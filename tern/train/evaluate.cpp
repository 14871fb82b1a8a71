// All without gradients.
#include "tern/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "tern/base/utf8.h"
#include "tern/train/objective.h"

namespace tern::train {

using torch::Tensor;

HeldOut held_out_loss(Transformer& model, const Batches& text, std::size_t batch,
                      std::uint64_t limit, Processes& processes) {
  const torch::NoGradGuard no_grad;
  std::uint64_t windows = text.windows();
  if (limit > 0)
    windows = std::min(windows, std::max<std::uint64_t>(1, limit / text.window_tokens()));
  double sum = 0, scored = 0;
  int turn = 0;
  for (std::uint64_t first = 0; first < windows; turn = (turn + 1) % processes.size()) {
    std::vector<std::uint64_t> rows;
    while (rows.size() < batch && first < windows) rows.push_back(first++);
    if (turn != processes.rank()) continue;
    const Batch part = text.read(rows);
    const double counted = part.targets_counted();
    if (counted > 0) sum += mean_loss(model, part).item<double>() * counted;
    scored += counted;
  }
  sum = processes.sum(sum);
  scored = processes.sum(scored);
  HeldOut out;
  out.loss = sum / scored;
  out.scored = static_cast<std::uint64_t>(scored);
  out.bits_per_byte = out.loss / std::numbers::ln2 * static_cast<double>(text.targets()) /
                      static_cast<double>(text.target_bytes());
  return out;
}

Json weight_shares(Transformer& model, Digits& before) {
  const torch::NoGradGuard no_grad;
  Json layers = Json::array();
  for (auto& [name, layer] : model->bit_linears()) {
    const WeightFormat format = layer->options.format();
    if (format.kind == WeightKind::kFullPrecision) continue;
    const Tensor digits = quantized_weights(layer->weight, format).digits;
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
