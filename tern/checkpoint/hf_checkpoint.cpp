// Which tensor of a folder is what, and how its weights are stored.
#include "tern/checkpoint/hf_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/checkpoint/hf_tokenizer.h"
#include "tern/checkpoint/load_matrix.h"
#include "tern/quant/ternary_codec.h"

namespace tern::checkpoint {
namespace {

using arch::TensorRole;
using arch::TensorSpec;

HfConfig read_config_file(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  return read_hf_config(parse_json(read_text_file(path), path.string()), path.string());
}

bool is_packed(const TensorView& weight) noexcept { return weight.type == DType::kU8; }

// What a folder is called. In the Hugging Face cache (models--USER--REPO/snapshots/COMMIT) that is
// the repository's name, not the commit.
std::string folder_name(const std::filesystem::path& folder) {
  const std::filesystem::path path = std::filesystem::weakly_canonical(folder);
  const std::string repository = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() != "snapshots" || !repository.starts_with("models--")) {
    return path.filename().string();
  }
  return repository.substr(repository.rfind("--") + 2);
}

bool ends_with_inv_freq(std::string_view name) { return name.ends_with("rotary_emb.inv_freq"); }

}  // namespace

HfCheckpoint::HfCheckpoint(const std::filesystem::path& folder, const OpenOptions& options,
                           bool with_tokenizer)
    : folder_(folder), hf_(read_config_file(folder)), files_(folder) {
  name_ = folder.string();
  config_ = hf_.model;
  config_.name = folder_name(folder);
  decide_tied_head();

  TableRules rules;
  rules.file = name_;
  rules.pattern = &TensorSpec::hf;
  rules.lookup = [this](std::string_view name) { return files_.tensor(name); };
  rules.all = files_.tensors();
  rules.scale_name = [](const TensorSpec& spec, const std::string& weight) {
    return spec.is_matrix() ? weight + "_scale" : std::string();
  };
  rules.stored_shape = [](const TensorView& weight, std::vector<std::uint64_t> shape) {
    if (is_packed(weight) && shape.size() == 2) shape[0] = (shape[0] + 3) / 4;
    return shape;
  };
  rules.ignorable = [this](std::string_view name) {
    return ends_with_inv_freq(name) || (config_.tied_head && name.starts_with("lm_head.weight"));
  };
  table_ = TensorTable(rules, config_);
  for (const RoleTensor& tensor : table_.all()) check_storage(tensor);
  if (with_tokenizer) {
    tokenizer_ = read_folder_tokenizer(folder, options.notice);
    check_tokenizer_size();
    ChatTemplates templates = read_chat_templates(folder);
    chat_template_ = std::move(templates.plain);
    tool_template_ = std::move(templates.with_tools);
    generation_ = read_generation_defaults(folder);
  }
}

// tie_word_embeddings decides; where it is missing, whether there is a head. A copy of the
// embedding under the head's name is no head of its own; a different one contradicts the config.
void HfCheckpoint::decide_tied_head() {
  const TensorView* head = files_.tensor("lm_head.weight");
  const TensorView* embedding = files_.tensor("model.embed_tokens.weight");
  if (!hf_.tied) {
    config_.tied_head = head == nullptr;
    return;
  }
  if (!*hf_.tied || head == nullptr || embedding == nullptr) return;
  const bool same = head->type == embedding->type && head->shape == embedding->shape &&
                    std::equal(head->bytes.begin(), head->bytes.end(), embedding->bytes.begin(),
                               embedding->bytes.end());
  drop_pages(head->bytes);
  if (!same) {
    throw Error(ErrorCode::kCorruptFile,
                files_.file_of(head->name) +
                    ": tensor 'lm_head.weight' differs from 'model.embed_tokens.weight', expected "
                    "the same, because config.json says tie_word_embeddings");
  }
}

std::string HfCheckpoint::where(const RoleTensor& tensor) const {
  return files_.file_of(tensor.weight->name) + ": " + tensor_text(*tensor.weight);
}

void HfCheckpoint::check_storage(const RoleTensor& tensor) const {
  if (!is_packed(*tensor.weight)) {
    if (tensor.scale != nullptr) {
      throw Error(ErrorCode::kUnsupported,
                  where(tensor) + " has type " + std::string(dtype_name(tensor.weight->type)) +
                      " and a weight_scale, expected packed uint8 weights beside one");
    }
    return;
  }
  if (!tensor.spec->is_matrix()) {
    throw Error(ErrorCode::kUnsupported, where(tensor) + " has type U8, expected floats");
  }
  if (tensor.scale == nullptr) {
    throw Error(ErrorCode::kCorruptFile,
                where(tensor) + " is packed, but its weight_scale is missing, expected one number");
  }
  if (hf_.storage != HfStorage::kMultiply && hf_.storage != HfStorage::kDivide) {
    throw Error(ErrorCode::kUnsupported,
                where(tensor) +
                    " is packed, but config.json does not say how (expected a quantization_config "
                    "with quantization_mode 'offline')");
  }
  if (is_not_converted(hf_.not_converted, tensor.weight->name)) {
    throw Error(
        ErrorCode::kCorruptFile,
        where(tensor) + " is packed, but modules_to_not_convert names it (expected floats)");
  }
  scales(tensor);  // Checks them.
}

std::vector<float> HfCheckpoint::scales(const RoleTensor& tensor) const {
  const std::uint64_t rows = arch::tensor_shape(tensor.spec->shape, config_)[0];
  const TensorView& view = *tensor.scale;
  if (view.elements() != 1 && view.elements() != rows) {
    throw Error(ErrorCode::kCorruptFile, where(tensor) + ": its weight_scale has shape " +
                                             shape_text(view.shape) + ", expected 1 or " +
                                             std::to_string(rows) + " numbers");
  }
  std::vector<float> values;
  try {
    values = read_floats(view);
  } catch (const Error& e) {
    throw with_context(files_.file_of(view.name), e);
  }
  if (hf_.storage == HfStorage::kDivide) {
    for (float& value : values) {
      const float inverse = 1.0f / value;
      if (!std::isfinite(inverse)) {
        throw Error(ErrorCode::kCorruptFile, where(tensor) + ": its weight_scale is " +
                                                 std::to_string(value) +
                                                 ", expected a number to divide by");
      }
      value = inverse;
    }
  }
  return values;
}

std::vector<TensorInfo> HfCheckpoint::tensors() const {
  std::vector<TensorInfo> infos;
  for (const RoleTensor& t : table_.all()) {
    TensorInfo info;
    info.role = t.spec->role;
    info.layer = t.layer;
    info.name = t.weight->name;
    info.bytes = t.weight->bytes.size() + (t.scale != nullptr ? t.scale->bytes.size() : 0);
    info.shape = arch::tensor_shape(t.spec->shape, config_);
    info.type = dtype_name(t.weight->type);
    if (is_packed(*t.weight)) {
      info.type =
          hf_.storage == HfStorage::kDivide ? "packed uint8 (divide)" : "packed uint8 (multiply)";
    } else if (is_converted(t)) {
      if (hf_.storage == HfStorage::kLatent) info.type += " latent";
      if (hf_.storage == HfStorage::kTrained) {
        info.type += " latent (" + latent_text(hf_.latent) + ")";
      }
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

std::vector<float> HfCheckpoint::vector(TensorRole role, std::size_t layer) const {
  const RoleTensor* tensor = table_.find(role, layer);
  if (tensor == nullptr) return {};
  try {
    return read_floats(*tensor->weight);
  } catch (const Error& e) {
    throw with_context(files_.file_of(tensor->weight->name), e);
  }
}

bool HfCheckpoint::is_converted(const RoleTensor& tensor) const {
  return tensor.spec->linear && !is_not_converted(hf_.not_converted, tensor.weight->name);
}

Matrix HfCheckpoint::linear_floats(const RoleTensor& tensor, ThreadPool& pool) const {
  const TensorView& weight = *tensor.weight;
  const bool converted = is_converted(tensor);
  switch (hf_.storage) {
    case HfStorage::kPlain:
      break;
    case HfStorage::kFloat:
      return load_declared_float(weight, pool);
    case HfStorage::kTrained:
      return converted ? load_latent_matrix(weight, hf_.latent, pool)
                       : load_declared_float(weight, pool);
    case HfStorage::kLatent:
      if (converted) return load_float_matrix(weight, FloatWeights::kLatent, pool);
      break;
    case HfStorage::kMultiply:
    case HfStorage::kDivide:
      if (converted) return load_float_matrix(weight, FloatWeights::kMustBeTernary, pool);
      break;
  }
  return load_float_matrix(weight, FloatWeights::kKeep, pool);
}

Matrix HfCheckpoint::matrix(TensorRole role, std::size_t layer, ThreadPool& pool,
                            TernaryLayout layout) const {
  if (role == TensorRole::kHead && config_.tied_head) role = TensorRole::kEmbedding;
  const RoleTensor* tensor = table_.find(role, layer);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kBadArgument, name_ + ": no such matrix in layer " +
                                             std::to_string(layer) + ", expected one of " +
                                             std::to_string(config_.layers) + " layers");
  }
  const TensorView& weight = *tensor->weight;
  try {
    if (is_packed(weight)) {
      const std::uint64_t rows = arch::tensor_shape(tensor->spec->shape, config_)[0];
      TernaryMatrix packed = quant::read_hf_packed(weight, static_cast<std::size_t>(rows),
                                                   scales(*tensor), pool, layout);
      drop_pages(weight.bytes);
      return packed;
    }
    if (tensor->spec->linear) return linear_floats(*tensor, pool);
    return load_float_matrix(weight, FloatWeights::kKeep, pool);
  } catch (const Error& e) {
    throw with_context(files_.file_of(weight.name), e);
  }
}

}  // namespace tern::checkpoint
