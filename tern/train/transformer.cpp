// The forward pass in the paper's order.
#include "tern/train/transformer.h"

#include <algorithm>
#include <cmath>

#include "tern/arch/architecture.h"
#include "tern/arch/rope_frequencies.h"
#include "tern/base/error.h"
#include "tern/train/head_loss.h"

namespace tern::train {
namespace {

using torch::Tensor;

std::int64_t size(std::size_t n) { return static_cast<std::int64_t>(n); }

BitLinear linear(const TransformerOptions& o, std::size_t in, std::size_t out) {
  return BitLinear(BitLinearOptions(size(in), size(out))
                       .format(o.format)
                       .lambda(o.lambda)
                       .product_type(o.product_type));
}

// The last part of a norm's name in its folder: "inner_attn_ln" of
// "model.layers.{}.self_attn.inner_attn_ln.weight".
std::string module_name(const arch::ModelConfig& config, arch::TensorRole role) {
  const arch::TensorSpec* spec = arch::find_spec(arch::architecture(config.arch), role);
  if (spec == nullptr) throw Error(ErrorCode::kUnsupported, "the architecture has no sub-norms");
  std::string path(spec->hf.substr(0, spec->hf.rfind('.')));
  return path.substr(path.rfind('.') + 1);
}

// norm(gate(x, up)) in float32; `norm` may be empty.
Tensor layer_input(const GroupInput& input, RmsNorm& norm) {
  Tensor z = input.x.to(torch::kFloat32);
  if (input.up.defined()) {
    const Tensor up = input.up.to(torch::kFloat32);
    z = input.activation == arch::GateActivation::kReluSquared ? squared_relu_gate(z, up)
                                                               : torch::silu(z) * up;
  }
  return norm ? norm(z) : z;
}

// layer_i(norm(gate(x, up))) of the group's layers; `norm` may be empty.
std::vector<Tensor> multiply(const TransformerOptions& options, LinearGroup& group,
                             std::vector<BitLinear> layers, GroupInput input, RmsNorm& norm) {
  std::vector<Tensor> outputs;
  if (options.products == Products::kLibtorch) {
    const Tensor z = layer_input(input, norm);
    for (BitLinear& layer : layers) outputs.push_back(layer(z));
    return outputs;
  }
  const bool adapters =
      std::ranges::any_of(layers, [](const BitLinear& layer) { return !layer->lora_a.is_empty(); });
  if (adapters) {  // They see what the layers see, which the group would keep to itself.
    const Tensor z = layer_input(input, norm);
    outputs = group({.x = z});
    for (std::size_t i = 0; i < layers.size(); ++i) {
      outputs[i] = layers[i]->with_adapter(outputs[i], z);
    }
    return outputs;
  }
  if (norm) {
    input.norm_weight = norm->weight;
    input.norm_eps = norm->eps();
  }
  return group(input);
}

void refuse_unless(bool right, const char* what) {
  if (!right) {
    throw Error(ErrorCode::kUnsupported,
                std::string("the model has ") + what + ", which cannot be trained yet");
  }
}

void check(const TransformerOptions& o) {
  const arch::ModelConfig& c = o.config;
  refuse_unless(!c.qkv_bias && !c.o_bias && !c.mlp_bias, "biases");
  const auto narrow = [&](std::size_t width) {
    return width % static_cast<std::size_t>(o.format.group) != 0;
  };
  if (o.format.scale == ScaleKind::kGroup &&
      (narrow(c.hidden) || narrow(c.ffn) || narrow(c.q_width()))) {
    throw Error(ErrorCode::kBadArgument,
                "groups of " + std::to_string(o.format.group) + " columns do not divide hidden " +
                    std::to_string(c.hidden) + ", ffn " + std::to_string(c.ffn) + " and heads " +
                    std::to_string(c.q_width()));
  }
}

}  // namespace

RmsNormImpl::RmsNormImpl(std::int64_t width, double eps)
    : weight(register_parameter("weight", torch::ones({width}))), eps_(eps) {}

RopeTables rope_tables(const arch::ModelConfig& config, std::int64_t sequence) {
  const Tensor frequencies = torch::tensor(arch::rope_frequencies(config), torch::kFloat64);
  const Tensor angles =
      torch::arange(sequence, torch::kFloat64).unsqueeze(1) * frequencies.unsqueeze(0);
  return {angles.cos().to(torch::kFloat32), angles.sin().to(torch::kFloat32)};
}

Tensor first_keys(const Tensor& segments) {
  if (!segments.defined()) return {};
  const Tensor from = segments.contiguous();
  Tensor out = torch::empty(from.sizes(), torch::kInt64);
  const std::int64_t sequence = from.size(1);
  for (std::int64_t window = 0; window < from.size(0); ++window) {
    const std::int64_t* segment = from.data_ptr<std::int64_t>() + window * sequence;
    std::int64_t* first = out.data_ptr<std::int64_t>() + window * sequence;
    for (std::int64_t t = 0; t < sequence; ++t) {
      first[t] = t > 0 && segment[t] == segment[t - 1] ? first[t - 1] : t;
    }
  }
  return out;
}

Tensor causal_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& first_key,
                        torch::Dtype type) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const Tensor scores = torch::matmul(q.to(type), k.to(type).transpose(2, 3));
  return torch::matmul(causal_softmax(scores, scale, first_key), v.to(type));
}

AttentionImpl::AttentionImpl(const TransformerOptions& o) : options_(o) {
  const arch::ModelConfig& c = o.config;
  q_proj_ = register_module("q_proj", linear(o, c.hidden, c.q_width()));
  k_proj_ = register_module("k_proj", linear(o, c.hidden, c.kv_width()));
  v_proj_ = register_module("v_proj", linear(o, c.hidden, c.kv_width()));
  if (c.qk_norm) {
    const double eps = static_cast<double>(c.rms_eps);
    q_norm_ = register_module("q_norm", RmsNorm(size(c.head_dim), eps));
    k_norm_ = register_module("k_norm", RmsNorm(size(c.head_dim), eps));
  }
  if (c.sub_norms) {
    sub_norm_ = register_module(module_name(c, arch::TensorRole::kAttnSubNorm),
                                RmsNorm(size(c.q_width()), static_cast<double>(c.rms_eps)));
  }
  o_proj_ = register_module("o_proj", linear(o, c.q_width(), c.hidden));
  qkv_ = LinearGroup({q_proj_, k_proj_, v_proj_}, GroupOutput::kProductType);
  o_ = LinearGroup({o_proj_}, GroupOutput::kFloat32);
}

Tensor AttentionImpl::forward(const Tensor& h, RmsNorm& norm, const LayerContext& context,
                              AttentionStates* states) {
  const std::int64_t batch = h.size(0), sequence = h.size(1);
  const std::int64_t count = size(options_.config.heads), kv = size(options_.config.kv_heads);
  const std::vector<Tensor> qkv =
      multiply(options_, qkv_, {q_proj_, k_proj_, v_proj_}, {.x = h}, norm);
  const auto per_head = [&](RmsNorm& head_norm, const Tensor& rows, std::int64_t heads) {
    if (!head_norm) return rows;
    const Tensor apart = rows.view({batch, sequence, heads, -1}).to(torch::kFloat32);
    return head_norm(apart).view(rows.sizes());
  };
  const Tensor q = rotated_heads(per_head(q_norm_, qkv[0], count), count, context.rope);
  Tensor k = rotated_heads(per_head(k_norm_, qkv[1], kv), kv, context.rope);
  Tensor v = qkv[2].view({batch, sequence, kv, -1}).transpose(1, 2);
  if (states != nullptr) {
    *states = {q.to(torch::kFloat32), k.to(torch::kFloat32), v.to(torch::kFloat32)};
  }
  if (kv < count) {  // Each key head serves a run of query heads.
    k = k.repeat_interleave(count / kv, 1);
    v = v.repeat_interleave(count / kv, 1);
  }
  Tensor y = causal_attention(q, k, v, context.first_key, options_.product_type);
  y = y.transpose(1, 2).reshape({batch, sequence, -1});
  return multiply(options_, o_, {o_proj_}, {.x = y}, sub_norm_).front();
}

FeedForwardImpl::FeedForwardImpl(const TransformerOptions& o) : options_(o) {
  const arch::ModelConfig& c = o.config;
  gate_proj_ = register_module("gate_proj", linear(o, c.hidden, c.ffn));
  up_proj_ = register_module("up_proj", linear(o, c.hidden, c.ffn));
  if (c.sub_norms) {
    sub_norm_ = register_module(module_name(c, arch::TensorRole::kFfnSubNorm),
                                RmsNorm(size(c.ffn), static_cast<double>(c.rms_eps)));
  }
  down_proj_ = register_module("down_proj", linear(o, c.ffn, c.hidden));
  gate_up_ = LinearGroup({gate_proj_, up_proj_}, GroupOutput::kProductType);
  down_ = LinearGroup({down_proj_}, GroupOutput::kFloat32);
}

Tensor FeedForwardImpl::forward(const Tensor& h, RmsNorm& norm) {
  const std::vector<Tensor> y =
      multiply(options_, gate_up_, {gate_proj_, up_proj_}, {.x = h}, norm);
  const GroupInput gated{.x = y[0], .up = y[1], .activation = options_.config.activation};
  return multiply(options_, down_, {down_proj_}, gated, sub_norm_).front();
}

LayerImpl::LayerImpl(const TransformerOptions& o) {
  const std::int64_t hidden = size(o.config.hidden);
  const double eps = static_cast<double>(o.config.rms_eps);
  input_layernorm_ = register_module("input_layernorm", RmsNorm(hidden, eps));
  self_attn_ = register_module("self_attn", Attention(o));
  post_attention_layernorm_ = register_module("post_attention_layernorm", RmsNorm(hidden, eps));
  mlp_ = register_module("mlp", FeedForward(o));
}

Tensor LayerImpl::forward(const Tensor& h, const LayerContext& context, AttentionStates* states) {
  const Tensor after = h + self_attn_->forward(h, input_layernorm_, context, states);
  return after + mlp_->forward(after, post_attention_layernorm_);
}

TransformerImpl::TransformerImpl(const TransformerOptions& o, double init_std, double sub_norm_init)
    : options_(o) {
  check(o);
  const arch::ModelConfig& c = o.config;
  const auto inner = register_module("model", std::make_shared<torch::nn::Module>("model"));
  embed_tokens_ =
      inner->register_module("embed_tokens", torch::nn::Embedding(size(c.vocab), size(c.hidden)));
  layers_ = inner->register_module("layers", torch::nn::ModuleList());
  for (std::size_t i = 0; i < c.layers; ++i) layers_->push_back(Layer(o));
  norm_ = inner->register_module("norm", RmsNorm(size(c.hidden), static_cast<double>(c.rms_eps)));
  if (c.tied_head) {
    head_ = embed_tokens_->weight;
  } else {
    const auto head = register_module("lm_head", std::make_shared<torch::nn::Module>("lm_head"));
    head_ = head->register_parameter("weight", torch::empty({size(c.vocab), size(c.hidden)}));
  }
  const torch::NoGradGuard no_grad;
  const double residual_std =
      c.sub_norms ? init_std : init_std / std::sqrt(2.0 * static_cast<double>(c.layers));
  const auto contains = [](const std::string& name, const std::string& part) {
    return name.find(part) != std::string::npos;
  };
  for (auto& parameter : named_parameters()) {
    const std::string& n = parameter.key();
    torch::Tensor& values = parameter.value();
    if (values.dim() == 1) {
      const bool sub_norm =
          c.sub_norms && (contains(n, module_name(c, arch::TensorRole::kAttnSubNorm)) ||
                          contains(n, module_name(c, arch::TensorRole::kFfnSubNorm)));
      values.fill_(sub_norm ? sub_norm_init : 1);
    } else {
      const bool residual = contains(n, "o_proj") || contains(n, "down_proj");
      values.normal_(0, residual ? residual_std : init_std);
    }
  }
}

const RopeTables& TransformerImpl::rope(std::int64_t sequence) {
  if (!rope_.cos.defined() || rope_.cos.size(0) != sequence) {
    rope_ = rope_tables(options_.config, sequence);
  }
  return rope_;
}

Tensor TransformerImpl::hidden_states(const Tensor& tokens, const Tensor& segments,
                                      Capture* capture) {
  const LayerContext context{rope(tokens.size(1)), first_keys(segments)};
  Tensor h = embed_tokens_(tokens).to(torch::kFloat32);
  for (std::size_t i = 0; i < layers_->size(); ++i) {
    const bool wanted = capture != nullptr && capture->layer == i;
    h = layers_[i]->as<LayerImpl>()->forward(h, context, wanted ? &capture->states : nullptr);
  }
  return norm_(h);
}

Tensor TransformerImpl::logits(const Tensor& hidden) {
  return quantized_linear(hidden, head_, {.kind = WeightKind::kFullPrecision}, 1,
                          options_.product_type);
}

Tensor TransformerImpl::summed_loss(const Tensor& hidden, const Tensor& targets) {
  return head_loss(hidden, head_, targets, options_.product_type);
}

std::string TransformerImpl::first_non_finite(const Tensor& tokens, const Tensor& segments) {
  const torch::NoGradGuard no_grad;
  const auto finite = [](const Tensor& t) { return t.isfinite().all().item<bool>(); };
  const LayerContext context{rope(tokens.size(1)), first_keys(segments)};
  Tensor h = embed_tokens_(tokens);
  if (!finite(h)) return "model.embed_tokens";
  for (std::size_t i = 0; i < layers_->size(); ++i) {
    h = layers_[i]->as<LayerImpl>()->forward(h, context);
    if (!finite(h)) return "model.layers." + std::to_string(i);
  }
  if (!finite(norm_(h))) return "model.norm";
  return finite(logits(norm_(h))) ? "" : "the head";
}

void TransformerImpl::set_lambda(double lambda) {
  options_.lambda = lambda;
  for (auto& [layer_name, layer] : bit_linears()) layer->options.lambda(lambda);
}

void TransformerImpl::set_product_type(torch::Dtype type) {
  options_.product_type = type;
  for (auto& [layer_name, layer] : bit_linears()) layer->options.product_type(type);
  for (const auto& layer : modules()) {
    if (auto* attention = layer->as<AttentionImpl>()) attention->set_product_type(type);
  }
}

std::vector<std::pair<std::string, BitLinear>> TransformerImpl::bit_linears() {
  std::vector<std::pair<std::string, BitLinear>> found;
  for (const auto& item : named_modules()) {
    if (auto layer = std::dynamic_pointer_cast<BitLinearImpl>(item.value())) {
      found.emplace_back(item.key(), BitLinear(layer));
    }
  }
  return found;
}

}  // namespace tern::train
