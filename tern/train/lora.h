// Adapters of low rank beside a model that stands still (LoRA, arXiv 2106.09685): the layers that
// the config names compute W x + alpha / rank * B (A x), and A and B alone are trained.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tern/train/config.h"
#include "tern/train/transformer.h"

namespace tern::train {

// Throws Error(kBadArgument) where the config changes the base that its adapters stand beside.
void check_adapters(const TrainConfig& config);

// Freezes every parameter of `model`, then gives each BitLinear whose name ends in one of
// lora.targets its adapter, drawing from libtorch's generator. At first they add nothing: B is 0.
void add_adapters(Transformer& model, const LoraConfig& lora);

// Whether a parameter's name is that of an adapter's half ("...q_proj.lora_A.weight").
bool is_adapter_parameter(std::string_view name) noexcept;
bool has_adapters(Transformer& model);
// The name in PEFT's files.
std::string peft_name(const std::string& parameter);

// Of every weight besides the adapters: that a run goes on beside the base it was begun with.
std::uint64_t weights_hash(Transformer& model);

}  // namespace tern::train
