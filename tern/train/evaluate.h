// What a model is worth while it trains: held-out loss, shares of digits, text that it writes.
#pragma once

#include <cstdint>
#include <string>

#include "tern/base/json.h"
#include "tern/tokenizer/tokenizer.h"
#include "tern/train/batch.h"
#include "tern/train/processes.h"
#include "tern/train/run_folder.h"
#include "tern/train/transformer.h"

namespace tern::train {

struct HeldOut {
  double loss = 0;           // Nats per target.
  double bits_per_byte = 0;  // loss / ln 2 * targets / bytes of the whole held-out text.
  std::uint64_t scored = 0;  // Targets.
};

// Mean loss over the first windows of the held-out text, as many as hold `limit` tokens (0: all;
// one at least), each target once, none with the context of the window before. `batch` windows at a
// time, which all `processes` take in turn.
HeldOut held_out_loss(Transformer& model, const Batches& text, std::size_t batch,
                      std::uint64_t limit, Processes& processes);

// Share of -1, 0 and +1 in each BitLinear, and of digits that differ from `before` (which becomes
// the digits of now; a layer that it lacks has flipped nothing): the "layers" of metrics.h.
Json weight_shares(Transformer& model, Digits& before);

// `count` tokens after the prompt, drawn at `temperature` with a generator of its own, so that the
// run's is left alone. Ends early at an end token. The text without the prompt.
std::string sample_text(Transformer& model, const tokenizer::Tokenizer& tokenizer,
                        const std::string& prompt, std::size_t count, double temperature,
                        std::uint64_t seed);

}  // namespace tern::train
