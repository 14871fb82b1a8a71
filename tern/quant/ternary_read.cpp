// Ternary tensors of any storage type -> TernaryMatrix.
#include <algorithm>
#include <optional>
#include <utility>

#include "tern/base/error.h"
#include "tern/quant/ternary_codec.h"
#include "tern/quant/ternary_layouts.h"
#include "tern/quant/ternary_row.h"

namespace tern::quant {
namespace {

// Scales as stored, one per row and group, and which groups hold anything but zeros.
struct Found {
  std::vector<float> scales;
  std::vector<std::uint8_t> used;
};

// The one scale of the groups `begin` to `end`, where all that hold a weight agree. All zeros: any
// finite scale is right, and the first is as good as another.
std::optional<float> common_scale(const Found& found, std::size_t begin, std::size_t end) {
  std::optional<float> scale;
  for (std::size_t i = begin; i < end; ++i) {
    if (found.used[i] == 0) continue;
    if (scale && *scale != found.scales[i]) return std::nullopt;
    scale = found.scales[i];
  }
  return scale ? scale : found.scales[begin];
}

// The scales that the matrix keeps: one, one per row, or all. A type that has no room for one per
// row holds it in every block of the row.
void settle_scales(TernaryMatrix& matrix, const TernaryCodec& codec, Found found) {
  const std::size_t count = found.scales.size();
  if (count == 0) return;
  if (const auto scale = common_scale(found, 0, count)) {
    matrix.set_scales(ScaleKind::kTensor, 0, {*scale});
    return;
  }
  const std::size_t per_row = count / matrix.rows();
  std::vector<float> rows;
  for (std::size_t i = 0; i < count; i += per_row) {
    const auto scale = common_scale(found, i, i + per_row);
    if (!scale) {
      matrix.set_scales(codec.scales, codec.group, std::move(found.scales));
      return;
    }
    rows.push_back(*scale);
  }
  matrix.set_scales(ScaleKind::kRow, 0, std::move(rows));
}

}  // namespace

TernaryMatrix read_ternary(const TensorView& tensor, ThreadPool& pool, TernaryLayout layout) {
  const TernarySource source = checked_source(tensor);
  const TernaryCodec& codec = codec_of(tensor.type);
  TernaryMatrix matrix(source.rows, source.cols, ScaleKind::kTensor, 0, {1.0f}, layout);
  const std::size_t group = codec.group == 0 ? source.cols : codec.group;
  const std::size_t groups = codec.scales == ScaleKind::kGroup ? source.cols / group : 1;
  Found found{std::vector<float>(source.rows * groups),
              std::vector<std::uint8_t>(source.rows * groups)};
  const std::size_t stride = matrix.padded_cols();
  pool.parallel_for(matrix.tiles(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> codes(kTernaryTileRows * stride, 1);
    for (std::size_t t = begin; t < end; ++t) {
      for (std::size_t i = 0; i < kTernaryTileRows; ++i) {
        const std::size_t r = t * kTernaryTileRows + i;
        const std::span row(codes.data() + i * stride, source.cols);
        if (r >= source.rows) {
          std::ranges::fill(row, std::uint8_t{1});
          continue;
        }
        codec.read_codes(source, r, row.data());
        check_codes(row, tensor, r);
        for (std::size_t g = 0; g < groups; ++g) {
          const std::size_t first = g * group;
          const bool used = any_weight(row.subspan(first, std::min(group, source.cols - first)));
          found.used[r * groups + g] = used ? 1 : 0;
          found.scales[r * groups + g] = checked_scale(codec, source, tensor, r, g);
        }
      }
      matrix.set_tile(t, codes.data(), stride);
    }
  });
  settle_scales(matrix, codec, std::move(found));
  if (matrix.scale_kind() != ScaleKind::kGroup || layout == TernaryLayout::kFourPerByte) {
    return matrix;
  }
  return with_layout(matrix, TernaryLayout::kFourPerByte, pool);
}

TernaryMatrix read_hf_packed(const TensorView& packed, std::size_t rows, std::vector<float> scales,
                             ThreadPool& pool, TernaryLayout layout) {
  const std::string where = "tensor '" + packed.name + "'";
  const std::size_t quarter = rows / 4 + (rows % 4 == 0 ? 0 : 1);
  if (packed.type != DType::kU8 || packed.shape.size() != 2 || packed.shape[0] != quarter) {
    throw Error(ErrorCode::kCorruptFile,
                where + " is " + std::string(dtype_name(packed.type)) + " of shape " +
                    shape_text(packed.shape) + ", expected U8 with " + std::to_string(quarter) +
                    " rows for " + std::to_string(rows) + " rows of packed weights");
  }
  if (packed.bytes.size() != packed.elements()) {
    throw Error(ErrorCode::kCorruptFile, where + " has " + std::to_string(packed.bytes.size()) +
                                             " bytes, expected " +
                                             std::to_string(packed.elements()));
  }
  const auto cols = static_cast<std::size_t>(packed.cols());
  const auto* data = reinterpret_cast<const std::uint8_t*>(packed.bytes.data());
  const ScaleKind kind = scales.size() == 1 ? ScaleKind::kTensor : ScaleKind::kRow;
  try {
    TernaryMatrix matrix(rows, cols, kind, 0, std::move(scales), layout);
    pool.parallel_for(rows, kTernaryTileRows, [&](std::size_t begin, std::size_t end) {
      std::vector<std::uint8_t> codes(cols);
      std::vector<std::int8_t> digits(cols);
      for (std::size_t r = begin; r < end; ++r) {
        const std::uint8_t* in = data + r % quarter * cols;
        const auto shift = static_cast<unsigned>(2 * (r / quarter));
        for (std::size_t c = 0; c < cols; ++c) {
          codes[c] = static_cast<std::uint8_t>((in[c] >> shift) & 3);
        }
        codes_to_digits(codes, digits, packed, r);
        matrix.set_row(r, digits);
      }
    });
    return matrix;
  } catch (const Error& e) {
    // What the matrix says of its scales lacks the name.
    if (std::string_view(e.what()).starts_with("tensor ")) throw;
    throw with_context(where, e);
  }
}

}  // namespace tern::quant
