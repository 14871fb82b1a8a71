// config.json to a shape; safetensors of any float type to float32 parameters.
#include "tern/train/start_model.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/hf_config.h"
#include "tern/formats/safetensors.h"
#include "tern/train/config_keys.h"
#include "tern/train/lora.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::HfConfig;
using checkpoint::HfStorage;
using torch::Tensor;

[[noreturn]] void fail(ErrorCode code, const fs::path& folder, const std::string& sentence) {
  throw Error(code, folder.string() + ": " + sentence);
}

HfConfig read_folder_config(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kBadArgument, folder,
         "no such folder found, expected a Hugging Face folder with float weights");
  }
  const fs::path file = folder / "config.json";
  HfConfig config =
      checkpoint::read_hf_config(parse_json(read_text_file(file), file.string()), file.string());
  if (config.storage == HfStorage::kMultiply || config.storage == HfStorage::kDivide) {
    fail(ErrorCode::kUnsupported, folder,
         "packed ternary digits found, expected the float weights behind them, which are what "
         "training changes");
  }
  if (!config.tied) {
    config.model.tied_head = formats::SafetensorsFolder(folder).tensor("lm_head.weight") == nullptr;
  }
  return config;
}

// The kind of scales that the folder's latent weights are quantised with.
void take_scales(TrainConfig& config, const HfConfig& folder) {
  if (folder.storage != HfStorage::kTrained || config.weights == WeightKind::kFullPrecision) return;
  if (config.given.contains("model.scale")) return;
  config.scale = folder.latent.scales;
  config.group = folder.latent.group;
}

// Norms before o and down that the model has not had so far. A Llama with a tied head is then what
// other programs know as `bitnet`; any other keeps its name, and its folder declares them.
void insert_sub_norms(arch::ModelConfig& model, const fs::path& folder) {
  if (model.sub_norms) {
    fail(ErrorCode::kBadArgument, folder,
         "the model has norms before o and down already, but start.sub_norms is true");
  }
  model.sub_norms = true;
  if (model.arch == arch::ArchitectureId::kLlama && model.tied_head) {
    model.arch = arch::ArchitectureId::kBitnet;
  }
}

// Keys of [model] that the config gives must say what the model is.
void check_given_keys(const TrainConfig& given, const TrainConfig& taken, const fs::path& folder) {
  for (const ConfigKey& key : config_keys()) {
    if (!key.name.starts_with("model.") || !given.given.contains(key.name)) continue;
    const Json was = key.write(given), is = key.write(taken);
    if (was == is) continue;
    fail(ErrorCode::kBadArgument, folder,
         "the config has " + std::string(key.name) + " = " + dump_json(was) +
             ", but the model to start from has " + dump_json(is));
  }
}

// An adapter is trained beside its base as every program runs it: what the folder declares.
void take_weights(TrainConfig& config, const HfConfig& folder) {
  config.weights = WeightKind::kFullPrecision;
  config.scale = ScaleKind::kTensor;
  config.group = 0;
  if (folder.storage == HfStorage::kLatent) config.weights = WeightKind::kTernary;
  if (folder.storage != HfStorage::kTrained) return;
  config.weights =
      folder.latent.kind == quant::LatentKind::kBinary ? WeightKind::kBinary : WeightKind::kTernary;
  config.scale = folder.latent.scales;
  config.group = folder.latent.group;
}

DType dtype_of(const Tensor& tensor) {
  return tensor.scalar_type() == torch::kBFloat16 ? DType::kBF16 : DType::kF32;
}

torch::Dtype torch_type(const TensorView& view, const std::string& file) {
  switch (view.type) {
    case DType::kF32:
      return torch::kFloat32;
    case DType::kF16:
      return torch::kFloat16;
    case DType::kBF16:
      return torch::kBFloat16;
    default:
      throw Error(ErrorCode::kUnsupported, file + ": tensor '" + view.name + "' has type " +
                                               std::string(dtype_name(view.type)) +
                                               ", expected F32, F16 or BF16");
  }
}

// Piece by piece: a whole matrix in another type would be a second copy of it.
void copy_converted(const TensorView& view, torch::Dtype type, Tensor to) {
  constexpr std::int64_t kPiece = 1 << 20;
  const torch::NoGradGuard no_grad;
  const Tensor flat = to.view({-1});
  Tensor piece = torch::empty({std::min(kPiece, flat.numel())}, type);
  const std::int64_t width = static_cast<std::int64_t>(piece.element_size());
  for (std::int64_t i = 0; i < flat.numel(); i += kPiece) {
    const std::int64_t count = std::min(kPiece, flat.numel() - i);
    std::memcpy(piece.data_ptr(), view.bytes.data() + i * width,
                static_cast<std::size_t>(count * width));
    flat.slice(0, i, i + count).copy_(piece.slice(0, 0, count));
  }
  drop_pages(view.bytes);
}

bool is_sub_norm(const std::string& name) {
  return name.ends_with("inner_attn_ln.weight") || name.ends_with("ffn_layernorm.weight") ||
         name.ends_with("_sub_norm.weight");
}

}  // namespace

void take_shape(TrainConfig& config, const fs::path& folder) {
  const HfConfig start = read_folder_config(folder);
  if (std::ranges::any_of(start.not_converted,
                          [](const std::string& name) { return name != "lm_head"; })) {
    fail(ErrorCode::kUnsupported, folder,
         "modules_to_not_convert names layers besides lm_head, expected all layers alike");
  }
  TrainConfig taken = config;
  const std::size_t context = config.model.context;
  taken.model = start.model;
  if (context > 0 && config.given.contains("model.context")) taken.model.context = context;
  // A checkpoint of a run that inserted them has them already.
  const bool own_checkpoint = folder != config.start.model;
  if (config.start.sub_norms && !(own_checkpoint && start.model.sub_norms)) {
    insert_sub_norms(taken.model, folder);
  }
  if (config.lora.rank > 0) take_weights(taken, start);
  taken.model.declares_float = taken.weights == WeightKind::kFullPrecision;
  taken.model.declares_b158 = !taken.model.declares_float;
  taken.model.activation_rule_source = "model.weights";
  if (config.lora.rank == 0) take_scales(taken, start);
  check_given_keys(config, taken, folder);
  if (config.sequence > taken.model.context) {
    fail(ErrorCode::kBadArgument, folder,
         "a context of " + std::to_string(taken.model.context) +
             " found, expected at least the training.sequence of " +
             std::to_string(config.sequence));
  }
  config = std::move(taken);
}

void refuse_digits(Transformer& model, const fs::path& folder) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, layer] : model->bit_linears()) {
    const Tensor size = layer->weight.abs();
    const Tensor most = size.max();
    if (most.item<float>() == 0 || !(size.eq(0) | size.eq(most)).all().item<bool>()) continue;
    fail(ErrorCode::kUnsupported, folder,
         "layer '" + name +
             "' holds only -s, 0 and +s, expected the floats behind such digits: nothing can be "
             "trained on top of or beside rounded weights");
  }
}

void load_folder_weights(const fs::path& folder, Transformer& model, bool inserted_norms) {
  const formats::SafetensorsFolder files(folder);
  const auto parameters = model->named_parameters();
  for (const TensorView* view : files.tensors()) {
    const bool useless = view->name.ends_with("rotary_emb.inv_freq") ||
                         (model->options().config.tied_head && view->name == "lm_head.weight");
    if (useless || parameters.contains(view->name)) continue;
    throw Error(ErrorCode::kUnsupported, files.file_of(view->name) + ": tensor '" + view->name +
                                             "' has no place in the model that config.json "
                                             "describes");
  }
  for (const auto& parameter : parameters) {
    if (is_adapter_parameter(parameter.key())) continue;
    const TensorView* view = files.tensor(parameter.key());
    if (view == nullptr) {
      if (inserted_norms && is_sub_norm(parameter.key())) continue;
      fail(ErrorCode::kCorruptFile, folder, "tensor '" + parameter.key() + "' is missing");
    }
    const Tensor& to = parameter.value();
    const std::vector<std::uint64_t> shape(to.sizes().begin(), to.sizes().end());
    const std::string file = files.file_of(parameter.key());
    if (view->shape != shape) {
      throw Error(ErrorCode::kCorruptFile,
                  file + ": tensor '" + parameter.key() + "' is " +
                      std::string(dtype_name(view->type)) + " of " + shape_text(view->shape) +
                      ", but the config's model has " + std::string(dtype_name(dtype_of(to))) +
                      " of " + shape_text(shape));
    }
    copy_converted(*view, torch_type(*view, file), to);
  }
}

Transformer open_teacher(const fs::path& folder, torch::Dtype product_type) {
  const HfConfig config = read_folder_config(folder);
  if (config.storage == HfStorage::kLatent || config.storage == HfStorage::kTrained) {
    fail(ErrorCode::kUnsupported, folder,
         "a model whose weights are quantised found, expected a teacher in full precision");
  }
  TransformerOptions options;
  options.config = config.model;
  options.config.declares_float = true;
  options.config.declares_b158 = false;
  options.format.kind = WeightKind::kFullPrecision;
  options.product_type = product_type;
  Transformer teacher(options, 0.0);
  for (torch::Tensor& parameter : teacher->parameters()) {
    parameter.requires_grad_(false);
    if (parameter.dim() == 2) parameter.set_data(parameter.to(product_type));
  }
  load_folder_weights(folder, teacher);
  teacher->eval();
  return teacher;
}

}  // namespace tern::train
