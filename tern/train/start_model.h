// Models from Hugging Face folders, single or sharded, as something to train or to learn from.
#pragma once

#include <filesystem>

#include "tern/train/config.h"
#include "tern/train/transformer.h"

namespace tern::train {

// Makes config.model the shape of the model in `folder` (start.model, or a checkpoint of this run),
// with sub-norms inserted where config.start says so and the folder has none. Scales of the kind
// that its latent weights were trained with are taken over unless the config gives others; a base
// that adapters are trained beside (config.lora) keeps the kind of weights that its folder
// declares. Throws Error naming the folder: no float weights, a part that cannot be trained, a key
// of [model] in the config that says something else.
void take_shape(TrainConfig& config, const std::filesystem::path& folder);

// Copies the folder's weights into `model`, tensor by tensor, converting F16 and BF16; pages of the
// file are given back as they are read. Norms that the model has and the folder lacks keep their
// values if `inserted_norms`. Throws Error(kCorruptFile) naming a tensor that is missing or has
// another shape.
void load_folder_weights(const std::filesystem::path& folder, Transformer& model,
                         bool inserted_norms = false);

// Throws Error(kUnsupported), naming `folder` and the layer, where a linear layer holds only -s, 0
// and +s: weights that were rounded, whose floats are elsewhere.
void refuse_digits(Transformer& model, const std::filesystem::path& folder);

// A model to learn from: full precision whatever its folder declares, without gradients, its
// matrices held in `product_type`.
Transformer open_teacher(const std::filesystem::path& folder, torch::Dtype product_type);

}  // namespace tern::train
