// Owners, packed digits, and the collection of everything for a checkpoint.
#include "tern/train/weight_shards.h"

#include <algorithm>
#include <utility>

namespace tern::train {
namespace {

using torch::Tensor;

std::int64_t scales_of(const Tensor& weight, const WeightFormat& format) {
  switch (format.scale) {
    case ScaleKind::kTensor:
      return 1;
    case ScaleKind::kRow:
      return weight.size(0);
    case ScaleKind::kGroup:
      break;
  }
  return weight.numel() / format.group;
}

std::int64_t packed_size(std::int64_t count) { return (count + 3) / 4; }

// The next `count` bytes of a message, `offset` moving on.
Tensor next(const Tensor& message, std::int64_t& offset, std::int64_t count) {
  offset += count;
  return message.slice(0, offset - count, offset);
}

Tensor bytes_of(const Tensor& numbers) { return numbers.contiguous().view(torch::kUInt8); }

}  // namespace

Tensor pack_digits(const Tensor& digits) {
  const std::int64_t count = digits.numel();
  Tensor codes = torch::zeros({4 * packed_size(count)}, torch::kUInt8);
  codes.slice(0, 0, count).copy_(digits.reshape({-1}) + 1);
  codes = codes.view({-1, 4});
  return codes.select(1, 0) + codes.select(1, 1) * 4 + codes.select(1, 2) * 16 +
         codes.select(1, 3) * 64;
}

Tensor unpack_digits(const Tensor& packed, std::int64_t count) {
  std::vector<Tensor> digits;
  for (const int shift : {0, 2, 4, 6}) {
    digits.push_back(packed.bitwise_right_shift(shift).bitwise_and(3).to(torch::kInt8) - 1);
  }
  return torch::stack(digits, 1).reshape({-1}).slice(0, 0, count);
}

Stand stand_in(const Tensor& weight, const WeightFormat& format) {
  const Tensor digits = quantized_weights(weight, format).digits;
  const std::int64_t scales = scales_of(weight, format);
  const Tensor size = weight.reshape({scales, -1}).abs().mean(1, false, torch::kFloat64);
  const Tensor share = digits.reshape({scales, -1}).abs().mean(1, false, torch::kFloat64);
  // No digit is left where all weights are next to nothing.
  return {digits, torch::where(share > 0, size / share, torch::zeros_like(size)).to(torch::kFloat)};
}

Tensor latents_of(const Stand& stand, const WeightFormat& format) {
  const std::int64_t scales = scales_of(stand.digits, format);
  return (stand.digits.to(torch::kFloat).reshape({scales, -1}) * stand.factors.unsqueeze(1))
      .reshape(stand.digits.sizes());
}

WeightShards::WeightShards(Processes& processes, Transformer& model, AdamW& optimizer)
    : processes_(processes) {
  for (auto& [name, layer] : model->bit_linears()) {
    const auto slot = std::ranges::find_if(optimizer.slots(), [&](const AdamW::Slot& s) {
      return s.parameter.is_same(layer->weight);
    });
    if (slot == optimizer.slots().end()) continue;  // It does not learn.
    const WeightFormat format = layer->options.format();
    shards_.push_back({layer->weight, format, 0, scales_of(layer->weight, format), &*slot});
  }
  // The largest first, each to whoever has least; the same everywhere.
  std::vector<Shard*> order;
  for (Shard& shard : shards_) order.push_back(&shard);
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [](const Shard* s) { return s->weight.numel(); });
  std::vector<std::int64_t> load(static_cast<std::size_t>(processes.size()), 0);
  for (Shard* shard : order) {
    const auto least = std::ranges::min_element(load);
    *least += shard->weight.numel();
    shard->owner = static_cast<int>(least - load.begin());
    shard->slot->foreign = shard->owner != processes.rank();
  }
}

bool WeightShards::shared_out(const Tensor& parameter) const {
  return std::ranges::any_of(shards_, [&](const Shard& s) { return s.weight.is_same(parameter); });
}

void WeightShards::send(double lambda) {
  const torch::NoGradGuard no_grad;
  std::vector<const Shard*> refused;
  const bool whole =
      lambda < 1 || (!shards_.empty() && shards_.front().format.kind == WeightKind::kFullPrecision);
  if (whole) {
    for (const Shard& shard : shards_) refused.push_back(&shard);
  } else {
    for (int owner = 0; owner < processes_.size(); ++owner) send_digits(owner, refused);
  }
  for (const Shard* shard : refused) processes_.broadcast(shard->weight.detach(), shard->owner);
}

// One message: per matrix a byte that says whether it can be sent so, factors, digits.
void WeightShards::send_digits(int owner, std::vector<const Shard*>& refused) {
  std::vector<const Shard*> mine;
  std::int64_t size = 0;
  for (const Shard& shard : shards_) {
    if (shard.owner != owner) continue;
    mine.push_back(&shard);
    size += 1 + 4 * shard.scales + packed_size(shard.weight.numel());
  }
  const Tensor message = torch::zeros({size}, torch::kUInt8);
  std::int64_t offset = 0;
  if (owner == processes_.rank()) {
    for (const Shard* shard : mine) {
      const Stand stand = stand_in(shard->weight, shard->format);
      const bool same = quantized_weights(latents_of(stand, shard->format), shard->format)
                            .digits.equal(stand.digits);
      next(message, offset, 1).fill_(same ? 1 : 0);
      next(message, offset, 4 * shard->scales).copy_(bytes_of(stand.factors));
      next(message, offset, packed_size(shard->weight.numel())).copy_(pack_digits(stand.digits));
    }
  }
  processes_.broadcast(message, owner);
  offset = 0;
  for (const Shard* shard : mine) {
    if (next(message, offset, 1).item<std::uint8_t>() == 0) refused.push_back(shard);
    const Tensor factors = next(message, offset, 4 * shard->scales).clone().view(torch::kFloat);
    const Tensor packed = next(message, offset, packed_size(shard->weight.numel()));
    if (owner == processes_.rank()) continue;
    const Tensor digits =
        unpack_digits(packed, shard->weight.numel()).reshape(shard->weight.sizes());
    shard->weight.detach().copy_(latents_of({digits, factors}, shard->format));
  }
}

void WeightShards::gather() {
  const torch::NoGradGuard no_grad;
  for (const Shard& shard : shards_) {
    AdamW::Slot& slot = *shard.slot;
    processes_.broadcast(shard.weight.detach(), shard.owner);
    const Tensor step = torch::tensor({slot.step}, torch::kInt64);
    processes_.broadcast(step, shard.owner);
    if (step.item<std::int64_t>() == 0) continue;  // Before the first step.
    Tensor first = slot.exp_avg, second = slot.exp_avg_sq;
    if (slot.foreign) {
      first = torch::zeros(shard.weight.sizes());
      second = torch::zeros(shard.weight.sizes());
    }
    processes_.broadcast(first, shard.owner);
    processes_.broadcast(second, shard.owner);
    if (!slot.foreign || !processes_.first()) continue;
    slot.exp_avg = first;
    slot.exp_avg_sq = second;
    slot.step = step.item<std::int64_t>();
  }
}

void WeightShards::forget() {
  for (const Shard& shard : shards_) {
    if (!shard.slot->foreign) continue;
    shard.slot->exp_avg = shard.slot->exp_avg_sq = Tensor();
    shard.slot->step = 0;
  }
}

}  // namespace tern::train
