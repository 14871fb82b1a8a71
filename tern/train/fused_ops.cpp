// Loops with their derivatives, split among libtorch's threads; results do not depend on how.
#include "tern/train/fused_ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tern/train/matrix_rows.h"

namespace tern::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kGrain = 32768;  // Elements that one thread should take at least.

// y = x * r * w with r = 1 / sqrt(mean(x^2) + eps). Backward: with h = dy * w,
// dx = r * (h - x * r^2 * mean(h * x)), dw = sum over rows of dy * x * r.
struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& w, double eps) {
    const std::int64_t rows = x.size(0), n = x.size(1);
    Tensor y = torch::empty_like(x);
    Tensor inverse = torch::empty({rows}, x.options());
    const float* in = x.data_ptr<float>();
    const float* weight = w.data_ptr<float>();
    float* out = y.data_ptr<float>();
    float* r_of = inverse.data_ptr<float>();
    at::parallel_for(0, rows, std::max<std::int64_t>(1, kGrain / n),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t t = begin; t < end; ++t) {
                         const float* xr = in + t * n;
                         const float mean = rows::dot(xr, xr, n) / static_cast<float>(n);
                         r_of[t] = 1.0f / std::sqrt(mean + static_cast<float>(eps));
                         rows::norm(xr, weight, r_of[t], n, out + t * n);
                       }
                     });
    context->save_for_backward({x, w, inverse});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& w = saved[1];
    const Tensor dy = gradients[0].contiguous();
    const std::int64_t rows = x.size(0), n = x.size(1);
    Tensor dx = torch::empty_like(x);
    // Partial sums of a fixed number of row blocks: the same result for every number of threads.
    constexpr std::int64_t kBlocks = 16;
    Tensor partial = torch::zeros({kBlocks, n}, x.options());
    const float* in = x.data_ptr<float>();
    const float* weight = w.data_ptr<float>();
    const float* g = dy.data_ptr<float>();
    const float* r_of = saved[2].data_ptr<float>();
    float* out = dx.data_ptr<float>();
    float* sums = partial.data_ptr<float>();
    at::parallel_for(0, kBlocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        float* dw = sums + block * n;
        for (std::int64_t t = rows * block / kBlocks; t < rows * (block + 1) / kBlocks; ++t) {
          const float* xr = in + t * n;
          const float* gr = g + t * n;
          rows::add_product(gr, xr, r_of[t], n, dw);
          rows::norm_backward(xr, weight, r_of[t], gr, n, out + t * n);
        }
      }
    });
    return {dx, partial.sum(0), Tensor()};
  }
};

struct SquaredReluGate : torch::autograd::Function<SquaredReluGate> {
  static Tensor forward(AutogradContext* context, const Tensor& gate, const Tensor& up) {
    Tensor y = torch::empty_like(gate);
    const float* g = gate.data_ptr<float>();
    const float* u = up.data_ptr<float>();
    float* out = y.data_ptr<float>();
    at::parallel_for(0, gate.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      rows::relu2_gate(g + begin, u + begin, end - begin, out + begin);
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor dy = gradients[0].contiguous();
    Tensor d_gate = saved[0].clone(), d_up = saved[1].clone();
    float* g = d_gate.data_ptr<float>();
    float* u = d_up.data_ptr<float>();
    const float* d = dy.data_ptr<float>();
    at::parallel_for(0, dy.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      rows::relu2_gate_backward(g + begin, u + begin, d + begin, end - begin);
    });
    return {d_gate, d_up};
  }
};

// Turns every pair of every head by its position, forwards or back, while heads move between lying
// side by side in a row (batch, sequence, heads, head_dim) and apart (batch, heads, sequence,
// head_dim).
Tensor turn(const Tensor& in, std::int64_t heads, const RopeTables& rope, bool back) {
  const std::int64_t batch = in.size(0);
  const std::int64_t sequence = back ? in.size(2) : in.size(1);
  const std::int64_t half = rope.cos.size(1), width = 2 * half;
  Tensor out = back ? torch::empty({batch, sequence, heads * width}, in.options())
                    : torch::empty({batch, heads, sequence, width}, in.options());
  // As rows of one head each, whatever lies beside what.
  const rows::Reader reader(in.view({-1, width}));
  const rows::Writer writer(out.view({-1, width}));
  const float* cos = rope.cos.data_ptr<float>();
  const float* sin = rope.sin.data_ptr<float>();
  at::parallel_for(0, batch * sequence, std::max<std::int64_t>(1, kGrain / (heads * width)),
                   [&](std::int64_t begin, std::int64_t end) {
                     std::vector<float> scratch(static_cast<std::size_t>(2 * width));
                     float* y = scratch.data() + width;
                     for (std::int64_t token = begin; token < end; ++token) {
                       const std::int64_t b = token / sequence, t = token % sequence;
                       for (std::int64_t h = 0; h < heads; ++h) {
                         const std::int64_t side = token * heads + h;
                         const std::int64_t apart = (b * heads + h) * sequence + t;
                         const float* x = reader.row(back ? apart : side, scratch.data());
                         rows::turn(x, cos + t * half, sin + t * half, back ? -1.0f : 1.0f, half,
                                    y);
                         writer.put(back ? side : apart, 0, y, width);
                       }
                     }
                   });
  return out;
}

struct RotatedHeads : torch::autograd::Function<RotatedHeads> {
  static Tensor forward(AutogradContext* context, const Tensor& x, std::int64_t heads,
                        const Tensor& cos, const Tensor& sin) {
    context->save_for_backward({cos, sin});
    context->saved_data["heads"] = heads;
    return turn(x, heads, {cos, sin}, false);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t heads = context->saved_data["heads"].toInt();
    return {turn(gradients[0].contiguous(), heads, {saved[0], saved[1]}, true), Tensor(), Tensor(),
            Tensor()};
  }
};

// Rows of softmax(scale * scores) over keys first ... t; gradient: scale * p * (dp - dot(dp, p)).
struct CausalSoftmax : torch::autograd::Function<CausalSoftmax> {
  // Calls visit(row, first key, keys) for every query.
  template <typename Visit>
  static void for_each_query(const Tensor& scores, const Tensor& first_key, Visit&& visit) {
    const std::int64_t heads = scores.size(1), sequence = scores.size(2);
    const std::int64_t* first = first_key.defined() ? first_key.data_ptr<std::int64_t>() : nullptr;
    at::parallel_for(0, scores.size(0) * heads * sequence, rows::grain(sequence),
                     [&](std::int64_t begin, std::int64_t end) {
                       std::vector<float> scratch(static_cast<std::size_t>(2 * sequence));
                       for (std::int64_t row = begin; row < end; ++row) {
                         const std::int64_t t = row % sequence, b = row / (heads * sequence);
                         const std::int64_t from = first == nullptr ? 0 : first[b * sequence + t];
                         visit(row, from, t + 1 - from, scratch.data());
                       }
                     });
  }

  static Tensor forward(AutogradContext* context, const Tensor& scores, double scale,
                        const c10::optional<Tensor>& maybe_first_key) {
    const Tensor first_key = maybe_first_key.value_or(Tensor());
    Tensor out = torch::zeros_like(scores);
    const rows::Reader reader(scores);
    const rows::Writer writer(out);
    for_each_query(scores, first_key,
                   [&](std::int64_t row, std::int64_t from, std::int64_t keys, float* scratch) {
                     reader.copy(row, from, keys, scratch);
                     rows::scale(scratch, keys, static_cast<float>(scale), nullptr, scratch);
                     const float sum = rows::exp_below(scratch, keys, rows::maximum(scratch, keys));
                     rows::scale(scratch, keys, 1.0f / sum, nullptr, scratch);
                     writer.put(row, from, scratch, keys);
                   });
    context->save_for_backward({out, first_key});
    context->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor dp = gradients[0].contiguous();
    const auto scale = static_cast<float>(context->saved_data["scale"].toDouble());
    Tensor out = torch::zeros_like(dp);
    const rows::Reader chances(saved[0]), reader(dp);
    const rows::Writer writer(out);
    for_each_query(dp, saved[1],
                   [&](std::int64_t row, std::int64_t from, std::int64_t keys, float* scratch) {
                     float* p = scratch + dp.size(3);
                     chances.copy(row, from, keys, p);
                     reader.copy(row, from, keys, scratch);
                     rows::softmax_backward(p, rows::dot(p, scratch, keys), scale, keys, scratch);
                     writer.put(row, from, scratch, keys);
                   });
    return {out, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  TORCH_CHECK(weight.dim() == 1 && weight.is_contiguous() && x.size(-1) == weight.size(0),
              "rows of ", x.size(-1), " found, expected the norm's ", weight.sizes());
  const Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
  return RmsNorm::apply(rows, weight, eps).view(x.sizes());
}

Tensor squared_relu_gate(const Tensor& gate, const Tensor& up) {
  TORCH_CHECK(gate.sizes() == up.sizes(), "gate of ", gate.sizes(), " and up of ", up.sizes(),
              " found, expected one shape");
  return SquaredReluGate::apply(gate.contiguous(), up.contiguous());
}

Tensor rotated_heads(const Tensor& x, std::int64_t heads, const RopeTables& rope) {
  TORCH_CHECK(
      x.dim() == 3 && x.size(2) == heads * 2 * rope.cos.size(1) && x.size(1) == rope.cos.size(0),
      "heads of ", x.sizes(), " found with angles of ", rope.cos.sizes());
  return RotatedHeads::apply(x.contiguous(), heads, rope.cos, rope.sin);
}

Tensor causal_softmax(const Tensor& scores, double scale, const Tensor& first_key) {
  TORCH_CHECK(scores.dim() == 4 && scores.size(2) == scores.size(3), "scores of ", scores.sizes(),
              " found, expected as many queries as keys");
  return CausalSoftmax::apply(
      scores.contiguous(), scale,
      first_key.defined() ? c10::optional<Tensor>(first_key) : c10::nullopt);
}

}  // namespace tern::train
