// Sliced matrices on NEON with the dot product instructions (ARMv8.2).
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

using std::int8_t;
using std::size_t;
using std::uint8_t;

// A record is norms, d, scales, high bits (tensor/sliced_matrix.h).
constexpr size_t kDAt = 8;
size_t scales_at(size_t blocks) { return kDAt + 2 * blocks; }
size_t high_at(size_t blocks) { return (scales_at(blocks) + 16 * blocks + 63) / 64 * 64; }

float d_float(const uint8_t* record, size_t b) {
  __fp16 d;
  __builtin_memcpy(&d, record + kDAt + 2 * b, 2);
  return static_cast<float>(d);
}

// 16 lanes in four registers.
struct Lanes {
  float32x4_t v[4];
};
Lanes zero() {
  const float32x4_t z = vdupq_n_f32(0);
  return {{z, z, z, z}};
}
float tree_sum(const Lanes& lanes) {  // dense.h's.
  const float32x4_t low = vaddq_f32(lanes.v[0], lanes.v[2]);
  const float32x4_t high = vaddq_f32(lanes.v[1], lanes.v[3]);
  const float32x4_t by4 = vaddq_f32(low, high);
  const float32x2_t by2 = vadd_f32(vget_low_f32(by4), vget_high_f32(by4));
  return vget_lane_f32(by2, 0) + vget_lane_f32(by2, 1);
}

Lanes floats16(const int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
Lanes scales_of(const uint8_t* record, size_t blocks, size_t b) {
  return floats16(reinterpret_cast<const int8_t*>(record + scales_at(blocks) + 16 * b));
}

int32x4_t dot4(int32x4_t sum, uint8x16_t codes, const int8_t* x) {
  return vdotq_s32(sum, vreinterpretq_s8_u8(codes), vld1q_s8(x));  // Codes are at most 63.
}

// lane += d * ((t * scale) * sc) for quarter m of the 16 groups of block b.
float32x4_t add_groups(float32x4_t lanes, int32x4_t t, float d, float32x4_t sc,
                       const float* scales) {
  const float32x4_t scaled = vmulq_f32(vmulq_f32(vcvtq_f32_s32(t), vld1q_f32(scales)), sc);
  return vfmaq_f32(lanes, vdupq_n_f32(d), scaled);
}

float screen_row(const uint8_t* record, size_t blocks, const SlicedInput& x) {
  const uint8x16_t nibble = vdupq_n_u8(15);
  Lanes lanes = zero();
  for (size_t b = 0; b < blocks; ++b) {
    const Lanes sc = scales_of(record, blocks, b);
    const float d = d_float(record, b);
    for (size_t m = 0; m < 4; ++m) {
      const int8_t* digits = x.digits + 256 * b + 16 * m;
      const uint8x16_t h0 = vld1q_u8(record + high_at(blocks) + 128 * b + 16 * m);
      const uint8x16_t h1 = vld1q_u8(record + high_at(blocks) + 128 * b + 64 + 16 * m);
      int32x4_t sum = dot4(vdupq_n_s32(0), vandq_u8(h0, nibble), digits);
      sum = dot4(sum, vshrq_n_u8(h0, 4), digits + 64);
      sum = dot4(sum, vandq_u8(h1, nibble), digits + 128);
      sum = dot4(sum, vshrq_n_u8(h1, 4), digits + 192);
      const int32x4_t sums = vld1q_s32(x.sums + 16 * b + 4 * m);
      const int32x4_t t = vmlaq_n_s32(vshlq_n_s32(sum, 4), sums, -122);
      lanes.v[m] = add_groups(lanes.v[m], t, d, sc.v[m], x.scales + 16 * b + 4 * m);
    }
  }
  float norms[2];
  __builtin_memcpy(norms, record, sizeof(norms));
  const float bound =
      __builtin_fmaf(norms[0], x.residual, __builtin_fmaf(norms[1], x.norm, x.least));
  return tree_sum(lanes) * 0.25f + bound;
}

void screen(const uint8_t* records, size_t record_bytes, size_t rows, size_t blocks,
            const SlicedInput& x, float* upper) noexcept {
  for (size_t r = 0; r < rows; ++r) upper[r] = screen_row(records + r * record_bytes, blocks, x);
}

float low_part(const uint8_t* record, const uint8_t* low, size_t blocks,
               const SlicedInput& x) noexcept {
  const uint8x16_t mask = vdupq_n_u8(3);
  Lanes lanes = zero();
  for (size_t b = 0; b < blocks; ++b) {
    const Lanes sc = scales_of(record, blocks, b);
    const float d = d_float(record, b);
    for (size_t m = 0; m < 4; ++m) {
      const int8_t* digits = x.digits + 256 * b + 16 * m;
      const uint8x16_t bits = vld1q_u8(low + 64 * b + 16 * m);
      int32x4_t sum = dot4(vdupq_n_s32(0), vandq_u8(bits, mask), digits);
      sum = dot4(sum, vandq_u8(vshrq_n_u8(bits, 2), mask), digits + 64);
      sum = dot4(sum, vandq_u8(vshrq_n_u8(bits, 4), mask), digits + 128);
      sum = dot4(sum, vshrq_n_u8(bits, 6), digits + 192);
      const int32x4_t sums = vld1q_s32(x.sums + 16 * b + 4 * m);
      const int32x4_t t = vmlaq_n_s32(vaddq_s32(sum, sum), sums, -3);
      lanes.v[m] = add_groups(lanes.v[m], t, d, sc.v[m], x.scales + 16 * b + 4 * m);
    }
  }
  return 0.5f * tree_sum(lanes);
}

// The codes of quarter m of a block: dwords 4 m ... of the four vectors.
uint8x16x4_t quarter_codes(const uint8_t* high, const uint8_t* low, size_t m) {
  const uint8x16_t two = vdupq_n_u8(3), top = vdupq_n_u8(0x3c);
  const uint8x16_t h0 = vld1q_u8(high + 16 * m), h1 = vld1q_u8(high + 64 + 16 * m);
  const uint8x16_t bits = vld1q_u8(low + 16 * m);
  const auto join = [&](uint8x16_t h, uint8x16_t l) {
    return vorrq_u8(vandq_u8(h, top), vandq_u8(l, two));
  };
  return {{join(vshlq_n_u8(h0, 2), bits), join(vshrq_n_u8(h0, 2), vshrq_n_u8(bits, 2)),
           join(vshlq_n_u8(h1, 2), vshrq_n_u8(bits, 4)),
           join(vshrq_n_u8(h1, 2), vshrq_n_u8(bits, 6))}};
}

void store_scales(const uint8_t* record, size_t blocks, size_t b, float* scales) {
  const Lanes sc = scales_of(record, blocks, b);
  const float32x4_t d = vdupq_n_f32(d_float(record, b));
  for (size_t m = 0; m < 4; ++m) vst1q_f32(scales + 4 * m, vmulq_f32(d, sc.v[m]));
}

void unpack(const uint8_t* record, const uint8_t* low, size_t blocks, uint8_t* codes,
            float* scales) noexcept {
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t m = 0; m < 4; ++m) {
      const uint8x16x4_t c = quarter_codes(record + high_at(blocks) + 128 * b, low + 64 * b, m);
      for (size_t j = 0; j < 4; ++j) vst1q_u8(codes + 256 * b + 64 * j + 16 * m, c.val[j]);
    }
    store_scales(record, blocks, b, scales + 16 * b);
  }
}

void panel(const uint8_t* codes, const float* scales, size_t rows, size_t blocks,
           const SlicedInput* x, size_t tokens, float* y, size_t y_stride) noexcept {
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) {
      Lanes lanes = zero();
      for (size_t b = 0; b < blocks; ++b) {
        const uint8_t* row = codes + (r * blocks + b) * 256;
        for (size_t m = 0; m < 4; ++m) {
          const size_t group = 16 * b + 4 * m;
          int32x4_t sum = vmulq_n_s32(vld1q_s32(x[t].sums + group), -32);
          for (size_t j = 0; j < 4; ++j) {
            const size_t at = 64 * j + 16 * m;
            sum = dot4(sum, vld1q_u8(row + at), x[t].digits + 256 * b + at);
          }
          const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(x[t].scales + group));
          lanes.v[m] = vfmaq_f32(lanes.v[m], scaled, vld1q_f32(scales + r * blocks * 16 + group));
        }
      }
      y[t * y_stride + r] = tree_sum(lanes);
    }
  }
}

// The digits of the 256 columns of a block in order.
void column_digits(const uint8_t* high, const uint8_t* low, int8_t* digits) {
  for (size_t m = 0; m < 4; ++m) {
    const uint8x16x4_t c = quarter_codes(high, low, m);
    uint32x4x4_t dwords;  // vst4 stores dword i of each in turn: groups 4 m + i.
    for (size_t j = 0; j < 4; ++j) {
      dwords.val[j] = vreinterpretq_u32_u8(vsubq_u8(c.val[j], vdupq_n_u8(32)));
    }
    uint32_t room[16];
    vst4q_u32(room, dwords);
    __builtin_memcpy(digits + 64 * m, room, sizeof(room));
  }
}

void expand(const uint8_t* record, const uint8_t* low, size_t blocks, size_t first, size_t count,
            float* out) noexcept {
  int8_t digits[256];
  float scales[16];
  for (size_t b = first; b < first + count; ++b) {
    column_digits(record + high_at(blocks) + 128 * b, low + 64 * b, digits);
    store_scales(record, blocks, b, scales);
    for (size_t g = 0; g < 16; ++g, out += 16) {
      const Lanes codes = floats16(digits + 16 * g);
      for (size_t m = 0; m < 4; ++m) {
        vst1q_f32(out + 4 * m, vmulq_n_f32(codes.v[m], scales[g]));
      }
    }
  }
}

void gemv(const uint8_t* records, size_t record_bytes, const uint8_t* lows, size_t low_bytes,
          size_t rows, size_t blocks, const float* x, float* y) noexcept {
  int8_t digits[256];
  float scales[16];
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* record = records + r * record_bytes;
    Lanes lanes = zero();
    for (size_t b = 0; b < blocks; ++b) {
      column_digits(record + high_at(blocks) + 128 * b, lows + r * low_bytes + 64 * b, digits);
      store_scales(record, blocks, b, scales);
      for (size_t g = 0; g < 16; ++g) {
        const Lanes codes = floats16(digits + 16 * g);
        const float* xv = x + 256 * b + 16 * g;
        for (size_t m = 0; m < 4; ++m) {
          lanes.v[m] =
              vfmaq_f32(lanes.v[m], vmulq_n_f32(codes.v[m], scales[g]), vld1q_f32(xv + 4 * m));
        }
      }
    }
    y[r] = tree_sum(lanes);
  }
}

}  // namespace

constinit const SlicedKernels kSlicedNeonDotprod{
    .screen = screen,
    .low_part = low_part,
    .unpack = unpack,
    .panel = panel,
    .expand = expand,
    .gemv = gemv,
};

}  // namespace tern::kernels
