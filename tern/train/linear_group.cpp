// One autograd function for a group of layers; weights prepared once per change.
#include "tern/train/linear_group.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "tern/base/thread_pool.h"
#include "tern/kernels/ternary.h"
#include "tern/train/matrix_rows.h"

namespace tern::train {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The weights of all layers, one above the other, as the products take them.
struct GroupWeights {
  std::vector<TernaryMatrix> packed;    // Per layer; empty where the forward product is dense.
  std::vector<QuantizedWeights> parts;  // Per layer, as int8: what dense_weights() makes. Ditto.
  Tensor dense;   // Where those are empty: (all outs, in), the values in the product type.
  Tensor column;  // (all outs) float32: what a row of digits is multiplied with; or undefined.
  std::vector<std::int64_t> outs;  // Rows per layer.
  double lambda = 1;
  torch::Dtype type = torch::kFloat32;  // Of the products.
  WeightFormat format;
  // What all this was made of.
  std::vector<std::uint32_t> versions;
  std::vector<const void*> storages;

  bool exact() const noexcept { return !packed.empty(); }
  std::int64_t total() const { return std::accumulate(outs.begin(), outs.end(), std::int64_t{0}); }
};

namespace {

constexpr std::int64_t kChunk = 256;  // Rows that are quantised and multiplied while they are warm.
constexpr float kSmallest = 1e-5f;    // Least max|x|.

struct Plan {
  std::shared_ptr<const GroupWeights> weights;
  const kernels::KernelTable* table;
  arch::GateActivation activation;
  float eps;
  torch::Dtype product_type, output_type;
  bool weights_learn;  // Any of them wants a gradient.
};

// Rows z = norm(gate(x, up)), one at a time.
class InputRows {
 public:
  InputRows(const Tensor& x, const Tensor& up, const Tensor& norm, const Plan& plan)
      : x_(x), width_(x.size(-1)), activation_(plan.activation), eps_(plan.eps) {
    if (up.defined()) up_.emplace(up);
    if (norm.defined()) norm_ = norm.data_ptr<float>();
  }

  // Row t into z; returns r of the norm. `scratch` holds two rows.
  float make(std::int64_t t, float* scratch, float* z) const {
    const float* g = gated(t, scratch, z);
    if (norm_ == nullptr) {
      if (g != z) std::memcpy(z, g, static_cast<std::size_t>(width_) * sizeof(float));
      return 1;
    }
    const float mean = rows::dot(g, g, width_) / static_cast<float>(width_);
    const float r = 1.0f / std::sqrt(mean + eps_);
    rows::norm(g, norm_, r, width_, z);
    return r;
  }

  // From dz of row t to the gradients of x (in `dx`) and up (in `d_up`); adds that of the norm's
  // weight to dw. `dz` is overwritten, `scratch` holds two rows.
  void backward(std::int64_t t, float r, float* dz, float* dw, float* dx, float* d_up,
                float* scratch) const {
    float* own = scratch + 2 * width_;
    const float* g = gated(t, scratch, own);
    if (norm_ != nullptr) {
      rows::add_product(dz, g, r, width_, dw);
      rows::norm_backward(g, norm_, r, dz, width_, dz);
    }
    if (!up_) {
      std::memcpy(dx, dz, static_cast<std::size_t>(width_) * sizeof(float));
      return;
    }
    x_.copy(t, dx);
    up_->copy(t, d_up);
    if (activation_ == arch::GateActivation::kReluSquared) {
      rows::relu2_gate_backward(dx, d_up, dz, width_);
    } else {
      rows::silu_gate_backward(dx, d_up, dz, width_);
    }
  }

 private:
  const float* gated(std::int64_t t, float* scratch, float* out) const {
    const float* x = x_.row(t, scratch);
    if (!up_) return x;
    const float* up = up_->row(t, scratch + width_);
    if (activation_ == arch::GateActivation::kReluSquared) {
      rows::relu2_gate(x, up, width_, out);
    } else {
      rows::silu_gate(x, up, width_, out);
    }
    return out;
  }

  rows::Reader x_;
  std::optional<rows::Reader> up_;
  const float* norm_ = nullptr;
  std::int64_t width_;
  arch::GateActivation activation_;
  float eps_;
};

// Calls body(begin, end) for chunks of rows, split among libtorch's threads.
template <typename Body>
void for_each_chunk(std::int64_t count, Body&& body) {
  const std::int64_t chunks = (count + kChunk - 1) / kChunk;
  at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
    body(first * kChunk, std::min(count, last * kChunk));
  });
}

std::vector<float> floats(std::int64_t rows, std::int64_t cols) {
  return std::vector<float>(static_cast<std::size_t>(rows * cols));
}

// What the backward pass needs of the forward pass besides its inputs.
struct Kept {
  Tensor values;  // (rows, in): int8 levels, or z in the product type.
  Tensor scales;  // (rows) float32, of levels; or undefined.
  Tensor r;       // (rows) float32, of the norm.
};

// Levels of int8 times digits.
std::vector<Tensor> exact_products(const InputRows& input, std::int64_t count, std::int64_t width,
                                   const Plan& plan, Kept& kept) {
  const GroupWeights& w = *plan.weights;
  kept.values = torch::empty({count, width}, torch::kInt8);
  kept.scales = torch::empty({count}, torch::kFloat32);
  kept.r = torch::empty({count}, torch::kFloat32);
  std::vector<Tensor> outputs;
  std::vector<rows::Writer> writers;
  for (const std::int64_t out : w.outs) {
    outputs.push_back(torch::empty({count, out}, plan.output_type));
    writers.emplace_back(outputs.back());
  }
  const bool direct = plan.output_type == torch::kFloat32;
  std::int8_t* levels = kept.values.data_ptr<std::int8_t>();
  float* scales = kept.scales.data_ptr<float>();
  float* r = kept.r.data_ptr<float>();
  for_each_chunk(count, [&](std::int64_t begin, std::int64_t end) {
    ThreadPool alone(1);
    kernels::Int8Rows quantised;
    std::vector<float> scratch = floats(2, width), z = floats(kChunk, width);
    std::vector<float> sums = direct ? std::vector<float>() : floats(kChunk, w.total());
    for (std::int64_t at = begin; at < end; at += kChunk) {
      const std::int64_t n = std::min(kChunk, end - at);
      std::vector<std::int64_t> broken;
      for (std::int64_t i = 0; i < n; ++i) {
        float* row = z.data() + i * width;
        r[at + i] = input.make(at + i, scratch.data(), row);
        // Levels cannot say that a number is none: its row's scale will.
        if (std::isfinite(rows::dot(row, row, width))) continue;
        std::fill_n(row, width, 0.0f);
        broken.push_back(i);
      }
      const auto tokens = static_cast<std::size_t>(n), cols = static_cast<std::size_t>(width);
      quantised.resize(tokens, cols, 0);
      kernels::quantize_rows(*plan.table, z.data(), cols, quantised, alone);
      for (const std::int64_t i : broken) {
        quantised.scales[static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
      }
      std::copy_n(quantised.scales.data(), n, scales + at);
      for (std::int64_t i = 0; i < n; ++i) {
        std::memcpy(levels + (at + i) * width, quantised.row(static_cast<std::size_t>(i)), cols);
      }
      std::vector<kernels::TernaryProduct> products;
      std::int64_t first = 0;
      for (std::size_t l = 0; l < w.packed.size(); ++l) {
        const auto stride = static_cast<std::size_t>(direct ? w.outs[l] : w.total());
        float* y = direct ? outputs[l].data_ptr<float>() + at * w.outs[l] : sums.data() + first;
        products.push_back({&w.packed[l], y, stride});
        first += w.outs[l];
      }
      kernels::ternary_matmul(*plan.table, products, quantised, alone);
      if (direct) continue;
      for (std::int64_t i = 0; i < n; ++i) {
        const float* row = sums.data() + i * w.total();
        for (std::size_t l = 0; l < writers.size(); row += w.outs[l++]) {
          writers[l].put(at + i, 0, row, w.outs[l]);
        }
      }
    }
  });
  return outputs;
}

// z in the product type, as much of it quantised as lambda says, times the weights as they are.
std::vector<Tensor> dense_products(const InputRows& input, std::int64_t count, std::int64_t width,
                                   const Plan& plan, Kept& kept) {
  const GroupWeights& w = *plan.weights;
  const bool mixed = w.format.kind != WeightKind::kFullPrecision && w.lambda > 0;
  kept.values = torch::empty({count, width}, plan.product_type);
  kept.r = torch::empty({count}, torch::kFloat32);
  const rows::Writer values(kept.values);
  float* r = kept.r.data_ptr<float>();
  for_each_chunk(count, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch = floats(2, width), z = floats(1, width);
    for (std::int64_t t = begin; t < end; ++t) {
      r[t] = input.make(t, scratch.data(), z.data());
      if (mixed) {
        const float most = std::max(rows::absolute_maximum(z.data(), width), kSmallest);
        rows::mix_levels(z.data(), width, 127.0f / most, most / 127.0f,
                         static_cast<float>(w.lambda));
      }
      values.put(t, 0, z.data(), width);
    }
  });
  std::vector<Tensor> outputs;
  std::int64_t first = 0;
  for (const std::int64_t out : w.outs) {
    outputs.push_back(
        torch::mm(kept.values, w.dense.slice(0, first, first + out).t()).to(plan.output_type));
    first += out;
  }
  return outputs;
}

// The gradients of all outputs side by side, (rows, all outs), in the product type and times the
// weights' scales.
Tensor side_by_side(const variable_list& gradients, const Plan& plan, std::int64_t count) {
  const GroupWeights& w = *plan.weights;
  const bool as_it_is = gradients.size() == 1 && !w.column.defined() && gradients[0].defined() &&
                        gradients[0].scalar_type() == plan.product_type;
  if (as_it_is) return gradients[0].contiguous();
  Tensor all = torch::empty({count, w.total()}, plan.product_type);
  const rows::Writer writer(all);
  std::vector<Tensor> parts;
  std::vector<rows::Reader> readers;
  for (std::size_t l = 0; l < gradients.size(); ++l) {
    parts.push_back(gradients[l].defined() ? gradients[l].contiguous()
                                           : torch::zeros({count, w.outs[l]}, plan.output_type));
    readers.emplace_back(parts.back());
  }
  const float* column = w.column.defined() ? w.column.data_ptr<float>() : nullptr;
  at::parallel_for(0, count, rows::grain(w.total()), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch = floats(1, w.total()), scaled = floats(1, w.total());
    for (std::int64_t t = begin; t < end; ++t) {
      std::int64_t first = 0;
      for (std::size_t l = 0; l < readers.size(); first += w.outs[l++]) {
        const float* dy = readers[l].row(t, scratch.data());
        if (column != nullptr) {
          rows::scale(dy, w.outs[l], 1.0f, column + first, scaled.data());
          dy = scaled.data();
        }
        writer.put(t, first, dy, w.outs[l]);
      }
    }
  });
  return all;
}

// z again, in the product type.
Tensor kept_input(const Kept& kept, torch::Dtype product_type) {
  if (kept.values.scalar_type() != torch::kInt8) return kept.values;
  const std::int64_t count = kept.values.size(0), width = kept.values.size(1);
  Tensor z = torch::empty({count, width}, product_type);
  const rows::Writer writer(z);
  const std::int8_t* levels = kept.values.data_ptr<std::int8_t>();
  const float* scales = kept.scales.data_ptr<float>();
  at::parallel_for(0, count, rows::grain(width), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row = floats(1, width);
    for (std::int64_t t = begin; t < end; ++t) {
      rows::widen_levels(levels + t * width, width, scales[t], row.data());
      writer.put(t, 0, row.data(), width);
    }
  });
  return z;
}

// The weights' gradients as float32, without the scales that side_by_side() put in.
Tensor weight_gradient(const Tensor& part, const float* column) {
  Tensor out = torch::empty(part.sizes(), torch::kFloat32);
  const rows::Reader reader(part);
  const std::int64_t count = part.size(0), width = part.size(1);
  float* to = out.data_ptr<float>();
  at::parallel_for(0, count, rows::grain(width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* row = to + r * width;
      reader.copy(r, row);
      if (column != nullptr) rows::scale(row, width, 1.0f / column[r], nullptr, row);
    }
  });
  return out;
}

// Digits (and, for groups of columns, their scales) into rows [first, ...) of `dense`.
void put_digits(const QuantizedWeights& part, const WeightFormat& format, std::int64_t first,
                const Tensor& dense) {
  const std::int64_t count = part.digits.size(0), width = part.digits.size(1);
  const std::int8_t* digits = part.digits.data_ptr<std::int8_t>();
  const std::int64_t group = format.scale == ScaleKind::kGroup ? format.group : width;
  const rows::Writer writer(dense);
  at::parallel_for(0, count, rows::grain(width), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row = floats(1, width);
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t c = 0; c < width; c += group) {
        const float scale = format.scale == ScaleKind::kGroup
                                ? part.scales[static_cast<std::size_t>((r * width + c) / group)]
                                : 1.0f;
        rows::widen_levels(digits + r * width + c, group, scale, row.data() + c);
      }
      writer.put(first + r, 0, row.data(), width);
    }
  });
}

// (all outs, in) in the product type, times `column` where that is defined: for the backward pass,
// one group at a time, because all layers' would be two bytes for each weight.
Tensor dense_weights(const GroupWeights& w) {
  if (w.dense.defined()) return w.dense;
  Tensor dense = torch::empty({w.total(), w.parts.front().digits.size(1)}, w.type);
  std::int64_t first = 0;
  for (const QuantizedWeights& part : w.parts) {
    put_digits(part, w.format, first, dense);
    first += part.digits.size(0);
  }
  return dense;
}

struct GroupProduct : torch::autograd::Function<GroupProduct> {
  static variable_list forward(AutogradContext* context, const Tensor& x,
                               const c10::optional<Tensor>& maybe_up,
                               const c10::optional<Tensor>& maybe_norm, at::TensorList,
                               const Plan& plan) {
    const Tensor up = maybe_up.value_or(Tensor()), norm = maybe_norm.value_or(Tensor());
    const std::int64_t count = x.size(0), width = x.size(1);
    const InputRows input(x, up, norm, plan);
    Kept kept;
    variable_list outputs = plan.weights->exact() ? exact_products(input, count, width, plan, kept)
                                                  : dense_products(input, count, width, plan, kept);
    context->save_for_backward({x, up, norm, kept.values, kept.scales, kept.r});
    context->saved_data["plan"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(plan));
    return outputs;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &up = saved[1], &norm = saved[2];
    const Kept kept{saved[3], saved[4], saved[5]};
    const auto holder = context->saved_data["plan"].toCapsule();
    const Plan& plan = static_cast<const Holder&>(*holder).plan;
    const GroupWeights& w = *plan.weights;
    const Tensor dy = side_by_side(gradients, plan, x.size(0));
    variable_list out{Tensor(), Tensor(), Tensor()};
    input_gradients(x, up, norm, torch::mm(dy, dense_weights(w)), kept, plan, out);
    if (!plan.weights_learn) {
      out.resize(out.size() + w.outs.size() + 1);
      return out;
    }
    const Tensor dw = torch::mm(dy.t(), kept_input(kept, plan.product_type));
    const float* column = w.column.defined() ? w.column.data_ptr<float>() : nullptr;
    std::int64_t first = 0;
    for (const std::int64_t rows : w.outs) {
      out.push_back(weight_gradient(dw.slice(0, first, first + rows),
                                    column == nullptr ? nullptr : column + first));
      first += rows;
    }
    out.emplace_back();  // The plan's.
    return out;
  }

 private:
  struct Holder : torch::CustomClassHolder {
    explicit Holder(const Plan& p) : plan(p) {}
    Plan plan;
  };

  static void input_gradients(const Tensor& x, const Tensor& up, const Tensor& norm,
                              const Tensor& dz, const Kept& kept, const Plan& plan,
                              variable_list& out) {
    const std::int64_t count = x.size(0), width = x.size(1);
    const InputRows input(x, up, norm, plan);
    const rows::Reader reader(dz);
    out[0] = torch::empty_like(x);
    if (up.defined()) out[1] = torch::empty_like(up);
    const rows::Writer dx(out[0]);
    std::optional<rows::Writer> d_up;
    if (up.defined()) d_up.emplace(out[1]);
    // Partial sums of a fixed number of row blocks: the same result for every number of threads.
    constexpr std::int64_t kBlocks = 16;
    const Tensor partial = torch::zeros({kBlocks, width});
    float* sums = partial.data_ptr<float>();
    const float* r = kept.r.data_ptr<float>();
    at::parallel_for(0, kBlocks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> scratch = floats(3, width), work = floats(3, width);
      float* d = work.data();
      for (std::int64_t block = begin; block < end; ++block) {
        for (std::int64_t t = count * block / kBlocks; t < count * (block + 1) / kBlocks; ++t) {
          reader.copy(t, d);
          input.backward(t, r[t], d, sums + block * width, d + width, d + 2 * width,
                         scratch.data());
          dx.put(t, 0, d + width, width);
          if (d_up) d_up->put(t, 0, d + 2 * width, width);
        }
      }
    });
    if (norm.defined()) out[2] = partial.sum(0);
  }
};

// Digits of all rows to the kernels' layout, into a matrix of the right shape that is there
// already.
void pack(const Tensor& digits, const std::vector<float>& scales, const WeightFormat& format,
          TernaryMatrix& out) {
  const auto rows = static_cast<std::size_t>(digits.size(0));
  const auto cols = static_cast<std::size_t>(digits.size(1));
  const auto group = static_cast<std::size_t>(format.group);
  if (out.rows() != rows || out.cols() != cols) {
    out = TernaryMatrix(rows, cols, format.scale, group, scales);
  } else {
    out.set_scales(format.scale, group, scales);
  }
  const std::int8_t* from = digits.data_ptr<std::int8_t>();
  const std::size_t stride = out.padded_cols();
  at::parallel_for(
      0, static_cast<std::int64_t>(out.tiles()), 1, [&](std::int64_t begin, std::int64_t end) {
        std::vector<std::uint8_t> codes(kTernaryTileRows * stride, 1);
        for (auto tile = static_cast<std::size_t>(begin); tile < static_cast<std::size_t>(end);
             ++tile) {
          const std::size_t first = tile * kTernaryTileRows;
          const std::size_t count = std::min(kTernaryTileRows, rows - first);
          for (std::size_t i = 0; i < count; ++i) {
            const std::int8_t* row = from + (first + i) * cols;
            std::uint8_t* to = codes.data() + i * stride;
            for (std::size_t c = 0; c < cols; ++c) to[c] = static_cast<std::uint8_t>(row[c] + 1);
          }
          std::fill(codes.begin() + static_cast<std::ptrdiff_t>(count * stride), codes.end(), 1);
          out.set_tile(tile, codes.data(), stride);
        }
      });
}

// The kernels that this CPU runs fastest, or those that TERN_ISA names.
const kernels::KernelTable& table() {
  static const kernels::KernelTable& chosen = kernels::table_from_environment();
  return chosen;
}

bool kernels_take(const WeightFormat& format, const std::vector<QuantizedWeights>& parts) {
  if (format.scale == ScaleKind::kGroup &&
      format.group % static_cast<std::int64_t>(kTernaryField) != 0) {
    return false;
  }
  // Weights that are no numbers have no digits: the dense product passes them on.
  return std::ranges::all_of(parts, [](const QuantizedWeights& part) {
    return std::ranges::all_of(part.scales, [](float s) { return std::isfinite(s); });
  });
}

// Everything but versions and storages.
void make_weights(const std::vector<BitLinear>& layers, GroupWeights& out) {
  const BitLinearOptions& options = layers.front()->options;
  out.format = options.format();
  out.lambda = options.lambda();
  out.type = options.product_type();
  out.outs.clear();
  for (const BitLinear& layer : layers) out.outs.push_back(layer->weight.size(0));
  std::vector<QuantizedWeights>& parts = out.parts;
  parts.clear();
  const bool whole = out.format.kind != WeightKind::kFullPrecision && out.lambda >= 1;
  if (whole) {
    for (const BitLinear& layer : layers) {
      parts.push_back(quantized_weights(layer->weight, out.format));
    }
  }
  out.column = Tensor();
  std::int64_t first = 0;
  if (!whole || !kernels_take(out.format, parts)) {
    out.packed.clear();
    parts.clear();
    if (!out.dense.defined()) {
      out.dense = torch::empty({out.total(), layers.front()->weight.size(1)}, out.type);
    }
    for (const BitLinear& layer : layers) {
      const Scaled values = quantize_weights(
          layer->weight, out.format,
          out.format.kind == WeightKind::kFullPrecision ? 0.0 : out.lambda, torch::kFloat32);
      const Tensor scaled_values =
          values.scales.defined()
              ? values.values *
                    (values.scales.dim() == 0 ? values.scales : values.scales.unsqueeze(1))
              : values.values;
      out.dense.slice(0, first, first + layer->weight.size(0)).copy_(scaled_values);
      first += layer->weight.size(0);
    }
    return;
  }
  out.dense = Tensor();
  out.packed.resize(layers.size());
  const bool by_row = out.format.scale != ScaleKind::kGroup;
  if (by_row) out.column = torch::empty({out.total()}, torch::kFloat32);
  for (std::size_t l = 0; l < layers.size(); first += out.outs[l++]) {
    pack(parts[l].digits, parts[l].scales, out.format, out.packed[l]);
    if (!by_row) continue;
    float* column = out.column.data_ptr<float>() + first;
    for (std::int64_t r = 0; r < out.outs[l]; ++r) {
      column[r] =
          parts[l].scales[out.format.scale == ScaleKind::kRow ? static_cast<std::size_t>(r) : 0];
    }
  }
}

}  // namespace

LinearGroup::LinearGroup(std::vector<BitLinear> layers, GroupOutput output)
    : layers_(std::move(layers)), output_(output) {}
LinearGroup::~LinearGroup() = default;
LinearGroup::LinearGroup(LinearGroup&&) noexcept = default;
LinearGroup& LinearGroup::operator=(LinearGroup&&) noexcept = default;

// Anew where a weight or an option has changed since the last time.
void LinearGroup::prepare() {
  const BitLinearOptions& options = layers_.front()->options;
  std::vector<std::uint32_t> versions;
  std::vector<const void*> storages;
  for (const BitLinear& layer : layers_) {
    versions.push_back(static_cast<std::uint32_t>(layer->weight._version()));
    storages.push_back(layer->weight.data_ptr());
  }
  const torch::Dtype type = options.product_type();
  if (weights_ && weights_->versions == versions && weights_->storages == storages &&
      weights_->lambda == options.lambda() && weights_->type == type) {
    return;
  }
  // What is there is written over, unless a graph still needs it.
  auto made = weights_ && weights_.use_count() == 1 && weights_->type == type
                  ? std::const_pointer_cast<GroupWeights>(weights_)
                  : std::make_shared<GroupWeights>();
  weights_.reset();
  const torch::NoGradGuard no_grad;
  make_weights(layers_, *made);
  made->versions = std::move(versions);
  made->storages = std::move(storages);
  weights_ = std::move(made);
}

std::vector<Tensor> LinearGroup::operator()(const GroupInput& input) {
  prepare();
  const BitLinearOptions& options = layers_.front()->options;
  const auto flat = [](const Tensor& t) {
    return t.defined() ? t.reshape({-1, t.size(-1)}).contiguous() : t;
  };
  std::vector<Tensor> weights;
  for (const BitLinear& layer : layers_) weights.push_back(layer->weight);
  const bool learn =
      std::ranges::any_of(weights, [](const Tensor& weight) { return weight.requires_grad(); });
  const Plan plan{weights_,
                  &table(),
                  input.activation,
                  static_cast<float>(input.norm_eps),
                  options.product_type(),
                  output_ == GroupOutput::kFloat32 ? torch::kFloat32 : options.product_type(),
                  learn};
  const auto maybe = [](const Tensor& t) {
    return t.defined() ? c10::optional<Tensor>(t) : c10::nullopt;
  };
  std::vector<Tensor> outputs =
      GroupProduct::apply(flat(input.x), maybe(flat(input.up)), maybe(input.norm_weight),
                          at::TensorList(weights), plan);
  auto shape = input.x.sizes().vec();
  for (Tensor& y : outputs) {
    shape.back() = y.size(1);
    y = y.view(shape);
  }
  return outputs;
}

}  // namespace tern::train
