// How every vector instruction set goes through the tiles of a ternary matrix. An ISA file defines
//   struct FourPerByte             a layout (and FivePerByte, where it can), with kFields
//   gemv_tile<Layout, tokens>(layout, w, blocks, x, x_stride, y)
//                                  one tile, y[t * 16 + row]
//   gemm_tile<tiles, tokens>(codes, steps, x, x_stride, y, y_stride)
//                                  adds to y, as KernelTable::codes_gemm says
//   kGemmTokens                    the most tokens of a gemm_tile, at most 6
// then includes this. Everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

template <typename Layout, std::size_t tokens>
void gemv_tiles(const std::uint8_t* w, std::size_t tiles, std::size_t blocks, const std::int8_t* x,
                std::size_t x_stride, std::int32_t* y) {
  const Layout layout;
  for (std::size_t i = 0; i < tiles; ++i, w += 64 * blocks, y += 16 * tokens) {
    gemv_tile<Layout, tokens>(layout, w, blocks, x, x_stride, y);
  }
}

template <typename Layout>
void ternary_gemv(const std::uint8_t* w, std::size_t tiles, std::size_t blocks,
                  const std::int8_t* x, std::size_t x_stride, std::size_t tokens,
                  std::int32_t* y) noexcept {
  static_assert(kGemvTokens == 4);
  switch (tokens) {
    case 1:
      return gemv_tiles<Layout, 1>(w, tiles, blocks, x, x_stride, y);
    case 2:
      return gemv_tiles<Layout, 2>(w, tiles, blocks, x, x_stride, y);
    case 3:
      return gemv_tiles<Layout, 3>(w, tiles, blocks, x, x_stride, y);
    default:
      return gemv_tiles<Layout, 4>(w, tiles, blocks, x, x_stride, y);
  }
}

void ternary_groups(const std::uint8_t* w, std::size_t blocks, std::size_t group,
                    const std::int8_t* x, std::int32_t* y) noexcept {
  const FourPerByte layout;
  for (std::size_t b = 0; b < blocks; b += group, y += 16) {
    const std::size_t count = blocks - b < group ? blocks - b : group;
    gemv_tile<FourPerByte, 1>(layout, w + 64 * b, count, x + 16 * b, 0, y);
  }
}

template <std::size_t tiles>
void gemm_tokens(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
                 std::size_t x_stride, std::size_t tokens, std::int32_t* y, std::size_t y_stride) {
  constexpr decltype(&gemm_tile<tiles, 1>) kBySize[] = {gemm_tile<tiles, 1>, gemm_tile<tiles, 2>,
                                                        gemm_tile<tiles, 3>, gemm_tile<tiles, 4>,
                                                        gemm_tile<tiles, 5>, gemm_tile<tiles, 6>};
  static_assert(kGemmTokens <= 6);
  // As even as can be: 32 tokens by 6 are 6 + 6 + 5 + 5 + 5 + 5.
  for (std::size_t parts = (tokens + kGemmTokens - 1) / kGemmTokens; parts > 0; --parts) {
    const std::size_t count = (tokens + parts - 1) / parts;
    kBySize[count - 1](codes, steps, x, x_stride, y, y_stride);
    x += count * x_stride;
    y += count * y_stride;
    tokens -= count;
  }
}

void codes_gemm(const std::uint8_t* codes, std::size_t tiles, std::size_t steps,
                const std::int8_t* x, std::size_t x_stride, std::size_t tokens, std::int32_t* y,
                std::size_t y_stride) noexcept {
  static_assert(kPanelTiles == 4);
  switch (tiles) {
    case 1:
      return gemm_tokens<1>(codes, steps, x, x_stride, tokens, y, y_stride);
    case 2:
      return gemm_tokens<2>(codes, steps, x, x_stride, tokens, y, y_stride);
    case 3:
      return gemm_tokens<3>(codes, steps, x, x_stride, tokens, y, y_stride);
    default:
      return gemm_tokens<4>(codes, steps, x, x_stride, tokens, y, y_stride);
  }
}

}  // namespace
}  // namespace tern::kernels
