// What the best other engines reach, to stand beside tern's figures.
#pragma once

#include <cstddef>
#include <string_view>

#include "tern/arch/model_config.h"

namespace tern::cli {

inline constexpr std::string_view kPeersSource =
    "ik_llama.cpp iq2_bn_r4 and bitnet.cpp i2_s, measured by us in November 2026 on two cores of a "
    "Zen 5 with AVX-512";

struct Peer {
  std::string_view shape, test;  // As `tern synth` and the rows name them.
  std::size_t threads;
  std::string_view engine;
  double tokens_per_second;  // The median over an hour.
  // What that machine allowed: bytes read or int8 multiply-adds per second, whichever bounds the
  // test. A figure scales with it.
  bool bound_by_read;
  double ceiling;
};

// nullptr where nothing was measured.
const Peer* find_peer(std::string_view shape, std::string_view test, std::size_t threads) noexcept;

// The named shape that a model has, whatever its weights; empty for none.
std::string_view shape_of(const arch::ModelConfig& config);

}  // namespace tern::cli
