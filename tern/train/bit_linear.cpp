// The product with its straight-through gradient, and the module around it.
#include "tern/train/bit_linear.h"

#include <cmath>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct QuantizedProduct : torch::autograd::Function<QuantizedProduct> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& w,
                        const WeightFormat& format, double lambda, torch::Dtype type) {
    const bool quantised = format.kind != WeightKind::kFullPrecision && lambda > 0;
    const Scaled a = quantised ? quantize_activations(x, lambda, type) : Scaled{x.to(type), {}};
    const Scaled b = quantised ? quantize_weights(w, format, lambda, type) : Scaled{w.to(type), {}};
    const Tensor y = scaled(torch::mm(a.values, b.values.t()), a.scales, b.scales, torch::kFloat32);
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
    const bool one = b_scales.defined() && b_scales.dim() == 0;
    const Tensor left = scaled(dy, Tensor(), one ? Tensor() : b_scales, type);
    const Tensor dx =
        scaled(torch::mm(left, b), Tensor(), one ? b_scales : Tensor(), torch::kFloat32);
    const Tensor right = a_scales.defined() ? scaled(dy, a_scales, Tensor(), type) : left;
    const Tensor dw =
        context->needs_input_grad(1) ? torch::mm(right.t(), a).to(torch::kFloat32) : Tensor();
    return {dx, dw, Tensor(), Tensor(), Tensor()};
  }
};

// The Linear layers below `module`, in the order of its registry.
struct Found {
  std::string name;
  torch::nn::Module* parent;
  std::string key;    // Within the parent,
  std::size_t place;  // and its place there, for containers: a Sequential's names are free.
  std::shared_ptr<torch::nn::LinearImpl> layer;
};

void find_linears(torch::nn::Module& module, const std::string& prefix, const LayerFilter& filter,
                  std::vector<Found>& found) {
  std::size_t place = 0;
  for (const auto& child : module.named_children()) {
    const std::size_t here = place++;
    const std::string name = prefix.empty() ? child.key() : prefix + "." + child.key();
    if (auto layer = std::dynamic_pointer_cast<torch::nn::LinearImpl>(child.value())) {
      if (!filter || filter(name, *layer))
        found.push_back({name, &module, child.key(), here, layer});
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

void put(const Found& found, const BitLinear& made) {
  const auto place = static_cast<std::ptrdiff_t>(found.place);
  if (auto* sequential = dynamic_cast<torch::nn::SequentialImpl*>(found.parent)) {
    *(sequential->begin() + place) = torch::nn::AnyModule(made);
  } else if (auto* list = dynamic_cast<torch::nn::ModuleListImpl*>(found.parent)) {
    *(list->begin() + place) = made.ptr();
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

BitLinearImpl::BitLinearImpl(const BitLinearOptions& options_) : options(options_) { reset(); }

void BitLinearImpl::reset() {
  weight =
      register_parameter("weight", torch::empty({options.out_features(), options.in_features()}));
  bias = options.bias() ? register_parameter("bias", torch::empty({options.out_features()}))
                        : register_parameter("bias", {}, /*requires_grad=*/false);
  norm_weight = options.norm()
                    ? register_parameter("norm_weight", torch::empty({options.in_features()}))
                    : register_parameter("norm_weight", {}, /*requires_grad=*/false);
  register_adapter();
  reset_parameters();
}

void BitLinearImpl::register_adapter() {
  if (options.adapter_rank() == 0) return;
  lora_a = register_module("lora_A", AdapterHalf(options.adapter_rank(), options.in_features()));
  lora_b = register_module("lora_B", AdapterHalf(options.out_features(), options.adapter_rank()));
  torch::nn::init::kaiming_uniform_(lora_a->weight, std::sqrt(5));
}

void BitLinearImpl::add_adapter(std::int64_t rank, double scale) {
  options.adapter_rank(rank);
  options.adapter_scale(scale);
  register_adapter();
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
  return with_adapter(bias.defined() ? y + bias : y, input);
}

Tensor BitLinearImpl::with_adapter(const Tensor& y, const Tensor& input) const {
  if (!lora_a) return y;
  const auto product = [&](const Tensor& of, const Tensor& with) {
    return quantized_linear(of, with, {.kind = WeightKind::kFullPrecision}, 1,
                            options.product_type());
  };
  return y + options.adapter_scale() * product(product(input, lora_a->weight), lora_b->weight);
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
