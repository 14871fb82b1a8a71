// Latent weights shared out among processes: each updates some matrices, and the others get what a
// forward pass needs of them.
//
// A forward and a backward pass of a quantised layer (lambda = 1) see digits and scales alone. So
// only the process that owns a matrix keeps AdamW's moments of it and its float32 latents; after
// each step it sends its digits, two bits each, and one float32 per scale. The others put a matrix
// in the latents' place that is quantised to the same digits and, but for rounding, the same
// scales: digit * mean|W| / mean|digit|. While lambda < 1, and in full precision, latents are sent.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/train/adamw.h"
#include "tern/train/processes.h"
#include "tern/train/transformer.h"

namespace tern::train {

// Two bits per digit, the first in the lowest: -1, 0, +1 are 0, 1, 2. int8 to uint8 and back; both
// flat, `count` digits of ceil(count / 4) bytes.
torch::Tensor pack_digits(const torch::Tensor& digits);
torch::Tensor unpack_digits(const torch::Tensor& packed, std::int64_t count);

// The matrix that is quantised to the digits of `weight` (rows, cols) and, but for rounding, its
// scales: digits times the factor of each scale's columns. `factors`, float32, one per scale.
struct Stand {
  torch::Tensor digits;   // int8 (rows, cols).
  torch::Tensor factors;  // (scales).
};
Stand stand_in(const torch::Tensor& weight, const WeightFormat& format);
torch::Tensor latents_of(const Stand& stand, const WeightFormat& format);

class WeightShards {
 public:
  // Gives each BitLinear of `model` an owner, so that all own about as much, and tells the
  // optimiser which those of other processes are. All three outlive this.
  WeightShards(Processes& processes, Transformer& model, AdamW& optimizer);

  // Whether its values differ between processes.
  bool shared_out(const torch::Tensor& parameter) const;

  // All: what the owners hold, to all, as a forward pass with `lambda` needs it.
  void send(double lambda);
  // All: the latents to all; moments and counts of steps to rank 0.
  void gather();
  // Drops the moments of what other processes own.
  void forget();

 private:
  struct Shard {
    torch::Tensor weight;
    WeightFormat format;
    int owner = 0;
    std::int64_t scales = 1;
    AdamW::Slot* slot = nullptr;
  };
  void send_digits(int owner, std::vector<const Shard*>& refused);

  Processes& processes_;
  std::vector<Shard> shards_;
};

}  // namespace tern::train
