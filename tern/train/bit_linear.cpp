// The product with its straight-through gradient, and the module around it.
#include "tern/train/bit_linear.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows times a scale each, in the type of the product.
Tensor scaled_rows(const Tensor& rows, const Tensor& scales, torch::Dtype type) {
  return (scales.defined() ? rows * scales : rows).to(type);
}

struct QuantizedProduct : torch::autograd::Function<QuantizedProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& w,
                        const WeightFormat& format, double lambda, torch::Dtype type) {
    const bool quantised = format.kind != WeightKind::kFullPrecision && lambda > 0;
    const Scaled a = quantised ? quantize_activations(x, lambda, type) : Scaled{x.to(type), {}};
    const Scaled b = quantised ? quantize_weights(w, format, lambda, type) : Scaled{w.to(type), {}};
    Tensor y = torch::mm(a.values, b.values.t()).to(torch::kFloat32);
    if (a.scales.defined()) y.mul_(a.scales);
    if (b.scales.defined()) y.mul_(b.scales);
    context->save_for_backward({a.values, a.scales, b.values, b.scales});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& a = saved[0];
    const Tensor& a_scales = saved[1];
    const Tensor& b = saved[2];
    const Tensor& b_scales = saved[3];
    const torch::Dtype type = a.scalar_type();
    const Tensor dy = gradients[0];
    // A scale of the whole matrix is taken out of the product; one per row belongs to dy's columns.
    const bool one_scale = b_scales.defined() && b_scales.dim() == 0;
    Tensor dx =
        torch::mm(scaled_rows(dy, one_scale ? Tensor() : b_scales, type), b).to(torch::kFloat32);
    if (one_scale) dx.mul_(b_scales);
    const Tensor dw = torch::mm(scaled_rows(dy, a_scales, type).t(), a).to(torch::kFloat32);
    return {dx, dw, Tensor(), Tensor(), Tensor()};
  }
};

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
    at::parallel_for(0, rows, grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const float* xr = in + t * n;
        const float square = lane_sum(n, [&](std::int64_t i) { return xr[i] * xr[i]; });
        const float r = 1.0f / std::sqrt(square / static_cast<float>(n) + static_cast<float>(eps));
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

  static std::int64_t grain(std::int64_t n) { return std::max<std::int64_t>(1, 32768 / n); }
};

// The Linear layers below `module`, in the order of its registry.
struct Found {
  std::string name;
  torch::nn::Module* parent;
  std::string key;  // Within the parent.
  std::shared_ptr<torch::nn::LinearImpl> layer;
};

void find_linears(torch::nn::Module& module, const std::string& prefix, const LayerFilter& filter,
                  std::vector<Found>& found) {
  for (const auto& child : module.named_children()) {
    const std::string name = prefix.empty() ? child.key() : prefix + "." + child.key();
    if (auto layer = std::dynamic_pointer_cast<torch::nn::LinearImpl>(child.value())) {
      if (!filter || filter(name, *layer)) found.push_back({name, &module, child.key(), layer});
    } else {
      find_linears(*child.value(), name, filter, found);
    }
  }
}

bool is_generic(const torch::nn::Module* parent) {
  return dynamic_cast<const torch::nn::SequentialImpl*>(parent) != nullptr ||
         dynamic_cast<const torch::nn::ModuleListImpl*>(parent) != nullptr;
}

BitLinear bit_linear_of(const torch::nn::LinearImpl& layer, BitLinearOptions options) {
  options.in_features(layer.options.in_features());
  options.out_features(layer.options.out_features());
  options.bias(layer.options.bias());
  BitLinear made(options);
  const torch::NoGradGuard no_grad;
  made->weight.copy_(layer.weight);
  if (layer.options.bias()) made->bias.copy_(layer.bias);
  made->to(layer.weight.device());
  made->train(layer.is_training());
  return made;
}

// Sequential names its children by their number.
void put(const Found& found, const BitLinear& made) {
  const std::size_t index = std::stoul(found.key);
  if (auto* sequential = dynamic_cast<torch::nn::SequentialImpl*>(found.parent)) {
    *(sequential->begin() + static_cast<std::ptrdiff_t>(index)) = torch::nn::AnyModule(made);
  } else if (auto* list = dynamic_cast<torch::nn::ModuleListImpl*>(found.parent)) {
    *(list->begin() + static_cast<std::ptrdiff_t>(index)) = made.ptr();
  }
  found.parent->replace_module(found.key, std::static_pointer_cast<torch::nn::Module>(made.ptr()));
}

}  // namespace

Tensor quantized_linear(const Tensor& x, const Tensor& w, const WeightFormat& format, double lambda,
                        torch::Dtype product_type) {
  const Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
  const Tensor y = QuantizedProduct::apply(rows, w, format, lambda, product_type);
  auto shape = x.sizes().vec();
  shape.back() = w.size(0);
  return y.view(shape);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
  return RmsNorm::apply(rows, weight, eps).view(x.sizes());
}

BitLinearImpl::BitLinearImpl(const BitLinearOptions& options_) : options(options_) { reset(); }

void BitLinearImpl::reset() {
  weight =
      register_parameter("weight", torch::empty({options.out_features(), options.in_features()}));
  bias = options.bias() ? register_parameter("bias", torch::empty({options.out_features()}))
                        : register_parameter("bias", {}, /*requires_grad=*/false);
  norm_weight = options.norm()
                    ? register_parameter("norm_weight", torch::empty({options.in_features()}))
                    : register_parameter("norm_weight", {}, /*requires_grad=*/false);
  reset_parameters();
}

void BitLinearImpl::reset_parameters() {
  const torch::NoGradGuard no_grad;
  if (weight.numel() > 0) torch::nn::init::kaiming_uniform_(weight, std::sqrt(5));
  if (bias.defined()) {
    const double bound = 1 / std::sqrt(static_cast<double>(options.in_features()));
    torch::nn::init::uniform_(bias, -bound, bound);
  }
  if (norm_weight.defined()) norm_weight.fill_(1);
}

void BitLinearImpl::pretty_print(std::ostream& stream) const {
  stream << std::boolalpha << "tern::train::BitLinear(in_features=" << options.in_features()
         << ", out_features=" << options.out_features() << ", bias=" << options.bias()
         << ", weights=" << train::name(options.format().kind) << ", norm=" << options.norm()
         << ")";
}

Tensor BitLinearImpl::forward(const Tensor& input) {
  const Tensor x = norm_weight.defined() ? rms_norm(input, norm_weight, options.norm_eps()) : input;
  const Tensor y =
      quantized_linear(x, weight, options.format(), options.lambda(), options.product_type());
  return bias.defined() ? y + bias : y;
}

std::vector<std::string> replace_linears(torch::nn::Module& module, const LayerFilter& filter,
                                         const BitLinearOptions& options) {
  std::vector<Found> found;
  find_linears(module, "", filter, found);
  for (const Found& f : found) {
    if (is_generic(f.parent)) continue;
    throw Error(ErrorCode::kUnsupported,
                "layer '" + f.name + "' is a member of " + f.parent->name() +
                    ", whose forward() would go on calling the old Linear; expected it in a "
                    "Sequential or ModuleList, or declared as BitLinear");
  }
  std::vector<std::string> names;
  for (const Found& f : found) {
    put(f, bit_linear_of(*f.layer, options));
    names.push_back(f.name);
  }
  return names;
}

}  // namespace tern::train
