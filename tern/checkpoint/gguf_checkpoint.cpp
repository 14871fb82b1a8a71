// Which tensor of a GGUF file is what, and how its rows and scales are brought to one form.
#include "tern/checkpoint/gguf_checkpoint.h"

#include <cmath>

#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/gguf_config.h"
#include "tern/checkpoint/load_matrix.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/quant/ternary_codec.h"
#include "tern/tensor/dense_row.h"

namespace tern::checkpoint {
namespace {

using arch::TensorRole;
using arch::TensorSpec;

std::string scale_name(const std::string& weight) {
  constexpr std::string_view kSuffix = ".weight";
  return weight.substr(0, weight.size() - kSuffix.size()) + ".scale";
}

void tell_i2s_layout(const formats::GgufFile& file, const Notice& notice) {
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.type != DType::kI2S) continue;
    notify(notice, file.name() +
                       ": I2_S weights are read in the x86 layout; nothing in the file tells, and "
                       "--i2s arm or --i2s 1x4 reads the others.");
    return;
  }
}

}  // namespace

GgufCheckpoint::GgufCheckpoint(const std::filesystem::path& path, const OpenOptions& options,
                               bool with_tokenizer)
    : file_(path, formats::GgufOptions{options.i2s}) {
  name_ = path.string();
  config_ = read_gguf_config(file_, options.notice);
  arch_ = &arch::architecture(config_.arch);
  if (config_.name.empty()) config_.name = path.stem().string();

  TableRules rules;
  rules.file = name_;
  rules.pattern = &TensorSpec::gguf;
  rules.lookup = [this](std::string_view name) { return file_.tensor(name); };
  for (const TensorView& tensor : file_.tensors()) rules.all.push_back(&tensor);
  rules.scale_name = [this](const TensorSpec& spec, const std::string& weight) {
    return arch_->gguf_scale_tensors && spec.linear ? scale_name(weight) : std::string();
  };
  rules.stored_shape = [](const TensorView&, std::vector<std::uint64_t> shape) { return shape; };
  rules.ignorable = [this](std::string_view name) {
    return name.ends_with(".attn_rot_embd") || (config_.tied_head && name == "output.weight");
  };
  table_ = TensorTable(rules, config_);
  for (const RoleTensor& tensor : table_.all()) check_storage(tensor);
  tell_i2s_layout(file_, options.notice);
  if (with_tokenizer && file_.find("tokenizer.ggml.model") != nullptr) {
    tokenizer_ = read_tokenizer_gguf(file_, options.pre, options.notice);
    check_tokenizer_size();
  }
  if (const formats::GgufValue* text = file_.find("tokenizer.chat_template")) {
    chat_template_ = text->as_string().value_or("");
  }
  if (const formats::GgufValue* text = file_.find("tokenizer.chat_template.tool_use")) {
    tool_template_ = text->as_string().value_or("");
  }
}

void GgufCheckpoint::check_storage(const RoleTensor& tensor) const {
  const TensorView& weight = *tensor.weight;
  if (tensor.spec->is_matrix() ? !is_dense(weight.type) && !is_ternary(weight.type)
                               : !is_dense(weight.type)) {
    throw Error(ErrorCode::kUnsupported,
                name_ + ": " + tensor_text(weight) + " has type " +
                    std::string(dtype_name(weight.type)) + ", expected floats" +
                    (tensor.spec->is_matrix() ? " or a ternary type" : ""));
  }
  if (config_.declares_float && tensor.spec->linear &&
      (is_ternary(weight.type) || tensor.scale != nullptr)) {
    throw Error(ErrorCode::kCorruptFile,
                name_ + ": " + tensor_text(weight) + " is stored as ternary weights, expected " +
                    "floats, because key '" + std::string(kActivationsKey) + "' is 'float'");
  }
  if (tensor.scale == nullptr) return;
  if (tensor.scale->elements() != 1) {
    throw Error(ErrorCode::kCorruptFile, name_ + ": " + tensor_text(*tensor.scale) + " has shape " +
                                             shape_text(tensor.scale->shape) +
                                             ", expected one number");
  }
  try {
    read_floats(*tensor.scale);
  } catch (const Error& e) {
    throw with_context(name_, e);
  }
}

bool GgufCheckpoint::interleaved(TensorRole role) const noexcept {
  return arch_->gguf_interleaved_rope && (role == TensorRole::kQ || role == TensorRole::kK ||
                                          role == TensorRole::kQBias || role == TensorRole::kKBias);
}

std::vector<TensorInfo> GgufCheckpoint::tensors() const {
  std::vector<TensorInfo> infos;
  for (const RoleTensor& t : table_.all()) {
    TensorInfo info;
    info.role = t.spec->role;
    info.layer = t.layer;
    info.name = t.weight->name;
    info.bytes = t.weight->bytes.size() + (t.scale != nullptr ? t.scale->bytes.size() : 0);
    info.shape = t.weight->shape;
    info.type = dtype_name(t.weight->type);
    if (t.spec->linear && arch_->declares_b158 && !config_.declares_float &&
        is_dense(t.weight->type)) {
      info.type += " latent";
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

std::vector<float> GgufCheckpoint::vector(TensorRole role, std::size_t layer) const {
  const RoleTensor* tensor = table_.find(role, layer);
  if (tensor == nullptr) return {};
  try {
    std::vector<float> values = read_floats(*tensor->weight);
    return interleaved(role) ? rotate_half_order(values, config_.head_dim) : values;
  } catch (const Error& e) {
    throw with_context(name_, e);
  }
}

Matrix GgufCheckpoint::load(const RoleTensor& tensor, ThreadPool& pool,
                            TernaryLayout layout) const {
  const TensorView& weight = *tensor.weight;
  if (is_ternary(weight.type)) {
    TernaryMatrix ternary = quant::read_ternary(weight, pool, layout);
    drop_pages(weight.bytes);
    return ternary;
  }
  FloatWeights policy = FloatWeights::kKeep;
  if (tensor.spec->linear && config_.declares_float) {
    return load_declared_float(weight, pool);
  }
  if (arch_->declares_b158 && tensor.spec->linear) {
    // A scale of its own stands only beside weights that were quantised before.
    policy = tensor.scale != nullptr ? FloatWeights::kMustBeTernary : FloatWeights::kLatent;
  }
  return load_float_matrix(weight, policy, pool);
}

Matrix GgufCheckpoint::matrix(TensorRole role, std::size_t layer, ThreadPool& pool,
                              TernaryLayout layout) const {
  if (role == TensorRole::kHead && config_.tied_head) role = TensorRole::kEmbedding;
  const RoleTensor* tensor = table_.find(role, layer);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kBadArgument, name_ + ": no such matrix in layer " +
                                             std::to_string(layer) + ", expected one of " +
                                             std::to_string(config_.layers) + " layers");
  }
  try {
    Matrix matrix = load(*tensor, pool, layout);
    if (tensor->scale != nullptr) {
      const float factor = read_floats(*tensor->scale)[0];
      for (float& scale : std::get<TernaryMatrix>(matrix).mutable_scales()) {
        scale *= factor;
        if (!std::isfinite(scale)) {
          throw Error(ErrorCode::kCorruptFile, tensor_text(*tensor->scale) + " makes a scale of " +
                                                   std::to_string(scale) +
                                                   ", expected a finite number");
        }
      }
    }
    if (!interleaved(role)) return matrix;
    return rotate_half_order(matrix, config_.head_dim, pool);
  } catch (const Error& e) {
    throw with_context(name_, e);
  }
}

}  // namespace tern::checkpoint
