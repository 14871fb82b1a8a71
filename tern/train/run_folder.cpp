// Tensors to and from safetensors; folders that appear whole.
#include "tern/train/run_folder.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/hf_config_out.h"
#include "tern/checkpoint/lora_adapter.h"
#include "tern/checkpoint/tokenizer_files.h"
#include "tern/formats/safetensors.h"
#include "tern/train/lora.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;

std::string folder_name(std::uint64_t step) {
  std::string digits = std::to_string(step);
  return "step-" + std::string(8 - std::min<std::size_t>(8, digits.size()), '0') + digits;
}

std::optional<std::uint64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with("step-")) return std::nullopt;
  std::uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 5, end, step);
  if (error != std::errc() || stop != end) return std::nullopt;
  return step;
}

// Finished checkpoints, oldest first.
std::vector<std::pair<std::uint64_t, fs::path>> all_checkpoints(const fs::path& folder) {
  std::vector<std::pair<std::uint64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_symlink() || !entry.is_directory()) continue;
    if (const auto step = step_of(entry.path())) found.emplace_back(*step, entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

DType dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kFloat32:
      return DType::kF32;
    case torch::kInt8:
      return DType::kI8;
    case torch::kUInt8:
      return DType::kU8;
    case torch::kInt64:
      return DType::kI64;
    default:
      throw Error(ErrorCode::kUnsupported, "a tensor of this type has no place in a checkpoint");
  }
}

std::vector<std::uint64_t> shape_of(const Tensor& tensor) {
  return {tensor.sizes().begin(), tensor.sizes().end()};
}

void add(formats::SafetensorsWriter& writer, const std::string& name, const Tensor& tensor) {
  writer.add_tensor(name, dtype_of(tensor), shape_of(tensor), [tensor] {
    const Tensor whole = tensor.detach().contiguous();
    std::vector<std::byte> bytes(whole.nbytes());
    std::memcpy(bytes.data(), whole.data_ptr(), bytes.size());
    return bytes;
  });
}

// Copies a tensor of the file into one of the same shape and type.
void fill(const formats::SafetensorsFile& file, const std::string& name, Tensor to) {
  const TensorView* view = file.tensor(name);
  if (view == nullptr) {
    throw Error(ErrorCode::kCorruptFile, file.name() + ": tensor '" + name + "' is missing");
  }
  const std::vector<std::uint64_t> shape = shape_of(to);
  if (view->shape != shape || view->type != dtype_of(to)) {
    throw Error(ErrorCode::kCorruptFile,
                file.name() + ": tensor '" + name + "' is " + std::string(dtype_name(view->type)) +
                    " of " + shape_text(view->shape) + ", but the config's model has " +
                    std::string(dtype_name(dtype_of(to))) + " of " + shape_text(shape));
  }
  std::memcpy(to.data_ptr(), view->bytes.data(), view->bytes.size());
  to.unsafeGetTensorImpl()->bump_version();  // Quantised copies are made anew when they see it.
}

// Whether training inserted norms that the architecture does not have.
bool has_inserted_norms(const TrainConfig& config) {
  return config.model.sub_norms && !arch::architecture(config.model.arch).sub_norms;
}

Json quantization(const TrainConfig& config) {
  const bool inserted = has_inserted_norms(config);
  if (!inserted && config.weights == WeightKind::kTernary && config.scale == ScaleKind::kTensor) {
    return {{"quant_method", "bitnet"},
            {"linear_class", "autobitlinear"},
            {"quantization_mode", "online"},
            {"modules_to_not_convert", {"lm_head"}}};
  }
  // What other programs would quantise differently has a name that they refuse.
  Json json = {{"quant_method", "tern"},
               {"weights", std::string(name(config.weights))},
               {"modules_to_not_convert", {"lm_head"}}};
  if (inserted) json["sub_norms"] = true;
  if (config.weights == WeightKind::kFullPrecision) return json;
  json["scale"] = config.scale == ScaleKind::kTensor ? "tensor"
                  : config.scale == ScaleKind::kRow  ? "row"
                                                     : "group";
  if (config.scale == ScaleKind::kGroup) json["group_size"] = config.group;
  return json;
}

// All files of a tokenizer, whatever kind of file or folder the config names.
void write_tokenizer(const fs::path& folder, const TrainConfig& config,
                     const tokenizer::TokenizerData& tokenizer) {
  if (fs::is_directory(config.tokenizer)) {
    checkpoint::copy_tokenizer_files(config.tokenizer, folder);
  }
  // Not that of another model whose tokenizer this is.
  write_json(folder / "generation_config.json", checkpoint::hf_generation_config(&tokenizer));
  if (!fs::exists(folder / "tokenizer.json")) {
    write_json(folder / "tokenizer.json", checkpoint::tokenizer_json(tokenizer));
  }
  if (!fs::exists(folder / "tokenizer_config.json")) {
    write_json(
        folder / "tokenizer_config.json",
        checkpoint::tokenizer_config_json(
            tokenizer, checkpoint::open_chat_template(config.tokenizer), config.model.context));
  }
}

void write_model(const fs::path& folder, const TrainConfig& config,
                 const tokenizer::TokenizerData& tokenizer, Transformer& model) {
  formats::SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  for (const auto& p : model->named_parameters()) add(writer, p.key(), p.value());
  writer.write(folder / "model.safetensors");
  Json json = checkpoint::hf_config(config.model, &tokenizer, folder.string());
  json["torch_dtype"] = "float32";
  const bool plain = config.weights == WeightKind::kFullPrecision &&
                     !arch::architecture(config.model.arch).declares_b158 &&
                     !has_inserted_norms(config);
  if (!plain) json["quantization_config"] = quantization(config);
  write_json(folder / "config.json", json);
}

// The adapters of a frozen base, as PEFT names and describes them.
void write_adapter(const fs::path& folder, const TrainConfig& config, Transformer& model) {
  formats::SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  for (const auto& p : model->named_parameters()) {
    if (is_adapter_parameter(p.key())) add(writer, peft_name(p.key()), p.value());
  }
  writer.write(folder / checkpoint::kLoraWeightsName);
  checkpoint::LoraDescription lora;
  lora.rank = config.lora.rank;
  lora.alpha = config.lora.alpha;
  lora.targets = config.lora.targets;
  write_json(folder / checkpoint::kLoraConfigName,
             checkpoint::lora_config_json(lora, config.start.model.string()));
}

void read_adapter(const fs::path& folder, Transformer& model) {
  const formats::SafetensorsFile file(folder / checkpoint::kLoraWeightsName);
  for (const auto& p : model->named_parameters()) {
    if (is_adapter_parameter(p.key())) fill(file, peft_name(p.key()), p.value());
  }
}

void write_optimizer(const fs::path& folder, Stepper& stepper, const Digits& digits) {
  formats::SafetensorsWriter writer;
  for (const AdamW::Slot& slot : stepper.optimizer().slots()) {
    if (slot.step == 0) continue;  // Before the first step.
    add(writer, "exp_avg." + slot.name, slot.exp_avg);
    add(writer, "exp_avg_sq." + slot.name, slot.exp_avg_sq);
    add(writer, "step." + slot.name, torch::tensor({slot.step}, torch::kInt64));
  }
  for (const auto& [layer, values] : digits) add(writer, "digits." + layer, values);
  add(writer, "rng", at::detail::getDefaultCPUGenerator().get_state());
  writer.write(folder / "optimizer.safetensors");
}

void read_optimizer(const fs::path& path, Stepper& stepper, Digits& digits) {
  const formats::SafetensorsFile file(path);
  for (AdamW::Slot& slot : stepper.optimizer().slots()) {
    if (file.tensor("step." + slot.name) == nullptr) continue;
    Tensor step = torch::zeros({1}, torch::kInt64);
    slot.exp_avg = torch::zeros(slot.parameter.sizes(), torch::kFloat32);
    slot.exp_avg_sq = torch::zeros(slot.parameter.sizes(), torch::kFloat32);
    fill(file, "step." + slot.name, step);
    fill(file, "exp_avg." + slot.name, slot.exp_avg);
    fill(file, "exp_avg_sq." + slot.name, slot.exp_avg_sq);
    slot.step = step.item<std::int64_t>();
  }
  for (const auto& [name, layer] : stepper.model()->bit_linears()) {
    if (file.tensor("digits." + name) == nullptr) continue;
    Tensor values = torch::zeros(layer->weight.sizes(), torch::kInt8);
    fill(file, "digits." + name, values);
    digits[name] = values;
  }
  auto generator = at::detail::getDefaultCPUGenerator();
  Tensor rng = torch::zeros_like(generator.get_state());
  fill(file, "rng", rng);
  generator.set_state(rng);
}

Json state_json(const RunState& s) {
  Json json = {{"version", 1},
               {"step", s.step},
               {"position", s.position},
               {"skipped", s.skipped},
               {"seconds", s.seconds},
               {"running_loss", s.running_loss},
               {"best_step", s.best_step},
               {"train_text", s.train_text},
               {"held_out_text", s.held_out_text},
               {"finished", s.finished},
               {"final_loss", s.final_loss},
               {"final_bits_per_byte", s.final_bits_per_byte}};
  if (s.base_weights != 0) json["base_weights"] = s.base_weights;
  if (s.best_loss < std::numeric_limits<double>::infinity()) json["best_loss"] = s.best_loss;
  return json;
}

RunState state_of_json(const Json& json, const std::string& what) {
  const auto whole = [&](const char* key) {
    const auto value = json_uint(json, key, what);
    if (!value) throw Error(ErrorCode::kCorruptFile, what + ": '" + key + "' is missing");
    return *value;
  };
  const auto number = [&](const char* key) {
    const auto value = json_number(json, key, what);
    if (!value) throw Error(ErrorCode::kCorruptFile, what + ": '" + key + "' is missing");
    return *value;
  };
  if (whole("version") != 1) {
    throw Error(ErrorCode::kUnsupported,
                what + ": version " + std::to_string(whole("version")) + " found, expected 1");
  }
  RunState state{.step = whole("step"),
                 .position = whole("position"),
                 .skipped = whole("skipped"),
                 .seconds = number("seconds"),
                 .running_loss = number("running_loss"),
                 .best_step = whole("best_step"),
                 .train_text = whole("train_text"),
                 .held_out_text = whole("held_out_text"),
                 .finished = json_bool(json, "finished", what).value_or(false),
                 .final_loss = number("final_loss"),
                 .final_bits_per_byte = number("final_bits_per_byte")};
  state.base_weights = json_uint(json, "base_weights", what).value_or(0);
  if (const auto best = json_number(json, "best_loss", what)) state.best_loss = *best;
  return state;
}

}  // namespace

std::optional<fs::path> RunFolder::newest() const {
  const auto found = all_checkpoints(checkpoints());
  if (found.empty()) return std::nullopt;
  return found.back().second;
}

void RunFolder::clean() const {
  std::vector<fs::path> left;
  std::error_code error;
  for (const fs::path& folder : {path_, checkpoints()}) {
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(".") && name != kLockName) left.push_back(entry.path());
    }
  }
  for (const fs::path& path : left) fs::remove_all(path, error);
}

void RunFolder::start_anew() const {
  std::vector<fs::path> old{path_ / "metrics.jsonl"};
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) {
      old.push_back(entry.path());
    }
  }
  for (const fs::path& path : old) fs::remove(path);
  fs::remove_all(tokenizer_folder());
}

void RunFolder::keep_tokenizer(const TrainConfig& config,
                               const tokenizer::TokenizerData& tokenizer) const {
  if (fs::exists(tokenizer_folder())) return;
  fs::create_directories(checkpoints());
  AtomicFolder folder(tokenizer_folder());
  write_tokenizer(folder.temporary(), config, tokenizer);
  folder.commit();
}

void RunFolder::write(const TrainConfig& config, const tokenizer::TokenizerData& tokenizer,
                      Stepper& stepper, const Digits& digits, const RunState& state) const {
  fs::create_directories(checkpoints());
  const std::string made = folder_name(state.step);
  if (!fs::exists(checkpoints() / made)) {  // The end may fall on a step that is saved already.
    AtomicFolder folder(checkpoints() / made);
    if (config.lora.rank > 0) {
      write_adapter(folder.temporary(), config, stepper.model());
    } else {
      write_model(folder.temporary(), config, tokenizer, stepper.model());
      checkpoint::copy_tokenizer_files(tokenizer_folder(), folder.temporary());
    }
    write_optimizer(folder.temporary(), stepper, digits);
    write_json(folder.temporary() / "trainer.json", state_json(state));
    folder.commit();
  }
  point_links(checkpoints() / made, state);
  remove_old(std::max<std::size_t>(config.keep, 1), state);
}

void RunFolder::point_links(const fs::path& newest, const RunState& state) const {
  point("latest", newest.filename().string());
  const std::string best = folder_name(state.best_step);
  if (state.best_step > 0 && fs::exists(checkpoints() / best)) point("best", best);
}

// A link is replaced in one step, so that it always leads somewhere.
void RunFolder::point(const char* link, const std::string& name) const {
  const fs::path temporary = checkpoints() / (std::string(".") + link);
  fs::remove(temporary);
  fs::create_symlink(name, temporary);
  fs::rename(temporary, checkpoints() / link);
}

void RunFolder::remove_old(std::size_t keep, const RunState& state) const {
  auto found = all_checkpoints(checkpoints());
  if (found.size() <= keep) return;
  found.resize(found.size() - keep);
  for (const auto& [step, path] : found) {
    if (step == state.best_step) continue;
    // Renamed first: a half-removed folder must not look like a checkpoint.
    const fs::path doomed = checkpoints() / (".removed-" + path.filename().string());
    fs::rename(path, doomed);
    fs::remove_all(doomed);
  }
}

RunState RunFolder::read(const fs::path& checkpoint, Stepper& stepper, Digits& digits) const {
  const std::string what = (checkpoint / "trainer.json").string();
  const RunState state = state_of_json(parse_json(read_text_file(what), what), what);
  if (has_adapters(stepper.model())) {
    read_adapter(checkpoint, stepper.model());
  } else {
    load_weights(checkpoint / "model.safetensors", stepper.model());
  }
  read_optimizer(checkpoint / "optimizer.safetensors", stepper, digits);
  return state;
}

void load_weights(const fs::path& safetensors, Transformer& model) {
  const formats::SafetensorsFile file(safetensors);
  for (const auto& p : model->named_parameters()) {
    if (!is_adapter_parameter(p.key())) fill(file, p.key(), p.value());
  }
}

}  // namespace tern::train
