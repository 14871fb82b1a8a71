// Loops with their derivatives, split among libtorch's threads; results do not depend on how.
#include "tern/train/fused_ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tern::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kGrain = 32768;  // Elements that one thread should take at least.

// Sums of a row in lanes, so that they vectorise.
template <typename Term>
float lane_sum(std::int64_t n, Term&& term) {
  constexpr std::int64_t kLanes = 16;
  std::array<float, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[static_cast<std::size_t>(j)] += term(i + j);
  }
  for (; i < n; ++i) lanes[static_cast<std::size_t>(i % kLanes)] += term(i);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

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
    at::parallel_for(
        0, rows, std::max<std::int64_t>(1, kGrain / n), [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t t = begin; t < end; ++t) {
            const float* xr = in + t * n;
            const float square = lane_sum(n, [&](std::int64_t i) { return xr[i] * xr[i]; });
            const float r =
                1.0f / std::sqrt(square / static_cast<float>(n) + static_cast<float>(eps));
            r_of[t] = r;
            for (std::int64_t i = 0; i < n; ++i) out[t * n + i] = xr[i] * r * weight[i];
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
          const float r = r_of[t];
          const float dot = lane_sum(n, [&](std::int64_t i) { return gr[i] * weight[i] * xr[i]; });
          const float pull = r * r * dot / static_cast<float>(n);
          for (std::int64_t i = 0; i < n; ++i) {
            out[t * n + i] = r * (gr[i] * weight[i] - xr[i] * pull);
            dw[i] += gr[i] * xr[i] * r;
          }
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
      for (std::int64_t i = begin; i < end; ++i) {
        const float r = g[i] > 0 ? g[i] : 0;
        out[i] = r * r * u[i];
      }
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor dy = gradients[0].contiguous();
    Tensor d_gate = torch::empty_like(dy), d_up = torch::empty_like(dy);
    const float* g = saved[0].data_ptr<float>();
    const float* u = saved[1].data_ptr<float>();
    const float* d = dy.data_ptr<float>();
    float* dg = d_gate.data_ptr<float>();
    float* du = d_up.data_ptr<float>();
    at::parallel_for(0, dy.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float r = g[i] > 0 ? g[i] : 0;
        dg[i] = 2 * r * u[i] * d[i];
        du[i] = r * r * d[i];
      }
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
  const float* from = in.data_ptr<float>();
  float* to = out.data_ptr<float>();
  const float* cos = rope.cos.data_ptr<float>();
  const float* sin = rope.sin.data_ptr<float>();
  at::parallel_for(0, batch * sequence, std::max<std::int64_t>(1, kGrain / (heads * width)),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t token = begin; token < end; ++token) {
                       const std::int64_t b = token / sequence, t = token % sequence;
                       const float* c = cos + t * half;
                       const float* s = sin + t * half;
                       for (std::int64_t h = 0; h < heads; ++h) {
                         const std::int64_t side = (token * heads + h) * width;
                         const std::int64_t apart = ((b * heads + h) * sequence + t) * width;
                         const float* x = from + (back ? apart : side);
                         float* y = to + (back ? side : apart);
                         const float way = back ? -1.0f : 1.0f;
                         for (std::int64_t i = 0; i < half; ++i) {
                           y[i] = x[i] * c[i] - way * x[i + half] * s[i];
                           y[i + half] = x[i + half] * c[i] + way * x[i] * s[i];
                         }
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

}  // namespace tern::train
