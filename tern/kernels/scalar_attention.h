// The attention functions of the scalar table (kernel_table.h says what they do).
#pragma once

#include "tern/kernels/kernel_table.h"

namespace tern::kernels::scalar_attention {

void to_f16(const float* x, std::size_t n, std::uint8_t* out) noexcept;
template <std::size_t kind>
void keys_dot(const std::uint8_t* keys, std::size_t head_dim, std::size_t pieces, const float* q,
              std::size_t rows, float* s, Ahead) noexcept;
void softmax_rows(float* s, std::size_t rows, const std::size_t* counts, float scale,
                  const std::uint8_t* key_scales, const std::uint8_t* value_scales, float* max,
                  float* length) noexcept;
void fold_rows(float* max, float* length, const float* next_max, const float* next_length,
               std::size_t rows, float* fa, float* fb) noexcept;
template <std::size_t kind>
void values_sum(const float* w, std::size_t rows, std::size_t positions, const std::uint8_t* values,
                std::size_t width, const float* fa, const float* fb, float* o, Ahead) noexcept;
void merge(float* a, float fa, const float* b, float fb, std::size_t n) noexcept;
void divide(const float* a, float by, std::size_t n, float* out) noexcept;

}  // namespace tern::kernels::scalar_attention
