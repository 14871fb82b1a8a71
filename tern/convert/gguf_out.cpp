// First a look at every tensor (is it ternary, does the type hold it), then the file, one tensor at
// a time: the header of a GGUF comes before its tensors.
#include "tern/convert/gguf_out.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "tern/arch/architecture.h"
#include "tern/arch/rope_frequencies.h"
#include "tern/base/error.h"
#include "tern/checkpoint/gguf_config.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/convert/gguf_keys.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/formats/gguf.h"
#include "tern/quant/ternary_codec.h"

namespace tern::convert {
namespace {

using arch::TensorRole;

constexpr std::array kTernaryTypes{DType::kTQ1_0,  DType::kTQ2_0,   DType::kI2S,
                                   DType::kIQ2_BN, DType::kQ2_0G64, DType::kQ2_0G128};
constexpr std::array kBodyTypes{DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
constexpr std::array kEmbeddingTypes{DType::kF16, DType::kBF16, DType::kF32, DType::kQ8_0,
                                     DType::kQ6_K};

template <std::size_t N>
bool among(const std::array<DType, N>& list, DType type) {
  return std::ranges::find(list, type) != list.end();
}

template <std::size_t N>
std::string names(const std::array<DType, N>& list) {
  std::string text;
  for (const DType type : list) text += (text.empty() ? "" : ", ") + std::string(dtype_name(type));
  return text;
}

void check_options(const ConvertOptions& options) {
  if (options.type && !among(kTernaryTypes, *options.type) && !among(kBodyTypes, *options.type)) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("type {} found, expected one of {}, {}", dtype_name(*options.type),
                            names(kTernaryTypes), names(kBodyTypes)));
  }
  if (options.embedding_type && !among(kEmbeddingTypes, *options.embedding_type)) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("embedding type {} found, expected one of {}",
                            dtype_name(*options.embedding_type), names(kEmbeddingTypes)));
  }
}

bool rows_fit(DType type, std::size_t rows, std::size_t cols) {
  return dtype_bytes(type, rows, cols).has_value();
}

// Block-quantised numbers stay as they are; GGUF's readers know no F64.
DType kept(DType type) noexcept { return type == DType::kF64 ? DType::kF32 : type; }

bool is_interleaved(const arch::Architecture& a, TensorRole role) noexcept {
  return a.gguf_interleaved_rope && (role == TensorRole::kQ || role == TensorRole::kK ||
                                     role == TensorRole::kQBias || role == TensorRole::kKBias);
}

// Where nobody asked for a type: TQ2_0, but for groups narrower than its blocks.
DType default_type(const TernaryMatrix& matrix) noexcept {
  if (matrix.group() % 256 == 0) return DType::kTQ2_0;
  return matrix.group() % 128 == 0 ? DType::kQ2_0G128 : DType::kQ2_0G64;
}

bool rounds_to_f16(DType type) noexcept {
  return type == DType::kTQ1_0 || type == DType::kTQ2_0 || type == DType::kQ2_0G64 ||
         type == DType::kQ2_0G128 || type == DType::kF16;
}

std::string scale_name(std::string name) { return name.substr(0, name.rfind('.')) + ".scale"; }

class GgufConversion {
 public:
  GgufConversion(const checkpoint::Checkpoint& in, const ConvertOptions& options, ThreadPool& pool,
                 const Notice& notice, const Progress& progress)
      : in_(in),
        config_(in.config()),
        architecture_(arch::architecture(config_.arch)),
        options_(options),
        pool_(pool),
        notice_(notice),
        progress_(progress),
        slots_(slots(config_)) {}

  void write(const std::filesystem::path& out) {
    for (const Slot& slot : slots_) {
      add(slot);
      step();
    }
    if (options_.type && among(kTernaryTypes, *options_.type) && ternary_matrices_ == 0) {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{}: its weights are full-precision ones, which {} cannot hold; expected "
                      "type {}",
                      in_.name(), dtype_name(*options_.type), names(kBodyTypes)));
    }
    add_rope_factors();
    add_metadata();
    report();
    writer_.write(out);
  }

 private:
  // How a matrix goes into the file.
  struct Form {
    DType type = DType::kF16;
    bool unit_scale = false;  // Its scale stands in a tensor of its own.
  };

  std::string gguf_name(const Slot& slot) const {
    return arch::tensor_name(slot.spec->gguf, slot.layer);
  }

  void step() {
    ++steps_;
    if (progress_) {
      progress_("converting", static_cast<double>(steps_) / static_cast<double>(2 * slots_.size()));
    }
  }

  void add(const Slot& slot) {
    const std::string name = gguf_name(slot);
    auto shape = arch::tensor_shape(slot.spec->shape, config_);
    if (!slot.spec->is_matrix()) {
      writer_.add_tensor(name, DType::kF32, std::move(shape), [this, slot] {
        std::vector<float> values = in_.vector(slot.spec->role, slot.layer);
        if (is_interleaved(architecture_, slot.spec->role)) {
          values = interleave(values, config_.head_dim);
        }
        step();
        return vector_bytes(values, DType::kF32);
      });
      return;
    }
    const Matrix matrix = in_.matrix(slot.spec->role, slot.layer, pool_);
    const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
    const Form form = ternary != nullptr
                          ? ternary_form(*ternary, slot, name)
                          : Form{dense_type(std::get<DenseMatrix>(matrix), slot, name), false};
    if (slot.spec->linear && (ternary != nullptr || ternary_matrices_ == 0)) body_ = form.type;
    if (slot.spec->linear && ternary != nullptr && among(kTernaryTypes, form.type)) {
      ternary_body_ = form.type;
    }
    writer_.add_tensor(name, form.type, std::move(shape),
                       [this, slot, form, name] { return bytes_of(slot, form, name); });
    if (form.unit_scale) {
      writer_.add_tensor(scale_name(name), DType::kF32, {1}, [scale = ternary->scales()[0]] {
        return vector_bytes(std::span(&scale, 1), DType::kF32);
      });
    }
  }

  DType dense_type(const DenseMatrix& matrix, const Slot& slot, const std::string& name) {
    if (slot.spec->linear) {
      if (architecture_.declares_b158 && !config_.declares_float) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("{}: tensor '{}' is not ternary, but every reader of architecture "
                                "{} quantises it; expected ternary linear layers only",
                                in_.name(), name, architecture_.gguf_names.front()));
      }
      if (!options_.type || !among(kBodyTypes, *options_.type)) return kept(matrix.type);
      if (rows_fit(*options_.type, matrix.rows, matrix.cols)) return *options_.type;
      ++unfit_dense_;
      return DType::kF16;
    }
    if (!options_.embedding_type) {
      const bool plain =
          matrix.type == DType::kBF16 || matrix.type == DType::kF32 || matrix.type == DType::kF64;
      return plain && holds_exactly(matrix, DType::kF16, pool_) ? DType::kF16 : kept(matrix.type);
    }
    DType type = *options_.embedding_type;
    for (const DType other : {DType::kQ8_0, DType::kF16}) {
      if (rows_fit(type, matrix.rows, matrix.cols)) break;
      notify(notice_,
             fmt::format("{} has rows of {} numbers, which {} cannot hold, and is written as {}",
                         name, matrix.cols, dtype_name(type), dtype_name(other)));
      type = other;
    }
    return type;
  }

  Form ternary_form(const TernaryMatrix& matrix, const Slot& slot, const std::string& name) {
    Form form;
    form.type = options_.type.value_or(default_type(matrix));
    if (!slot.spec->linear && options_.embedding_type) form.type = *options_.embedding_type;
    if (form.type == DType::kQ8_0 || form.type == DType::kQ6_K) {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{}: tensor '{}' is ternary, which {} cannot hold exactly; expected one of "
                      "{}, F16, BF16, F32",
                      in_.name(), name, dtype_name(form.type), names(kTernaryTypes)));
    }
    if (slot.spec->linear) ++ternary_matrices_;
    const bool apart = architecture_.gguf_scale_tensors && slot.spec->linear &&
                       matrix.scale_kind() == ScaleKind::kTensor;
    if (among(kTernaryTypes, form.type)) {
      if (!rows_fit(form.type, matrix.rows(), matrix.cols()) &&
          matrix.scale_kind() == ScaleKind::kTensor) {
        unfit_type_ = form.type;
        unfit_cols_.insert(matrix.cols());
        ++unfit_;
        form.type = DType::kF16;
      } else if (const auto why = quant::why_not_writable(matrix, form.type); why && !apart) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("{}: tensor '{}' cannot be written as {}: {}", in_.name(), name,
                                dtype_name(form.type), *why));
      }
    }
    if (slot.spec->linear) check_scales_stay(matrix, form.type, name);
    const bool rounds = rounds_to_f16(form.type) || form.type == DType::kBF16;
    form.unit_scale = rounds && apart;
    if (rounds && !form.unit_scale) {
      ScaleLoss& loss = form.type == DType::kBF16 ? bf16_loss_ : f16_loss_;
      loss.add(matrix.scales(), form.type == DType::kBF16 ? DType::kBF16 : DType::kF16, name);
    }
    if (among(kTernaryTypes, form.type) && form.type != DType::kIQ2_BN) {
      per_row_ += matrix.scale_kind() == ScaleKind::kRow ? 1 : 0;
    }
    return form;
  }

  // Floats are read back as ternary where all have one magnitude; with more than one scale they
  // would be float layers, or latent weights.
  void check_scales_stay(const TernaryMatrix& matrix, DType type, const std::string& name) {
    if (!among(kTernaryTypes, type) && matrix.scale_kind() != ScaleKind::kTensor) {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{}: tensor '{}' has {}, and its weights would be no ternary ones any more "
                      "as {}; expected one of {}",
                      in_.name(), name,
                      matrix.scale_kind() == ScaleKind::kRow
                          ? "one scale per row"
                          : fmt::format("one scale per group of {} columns", matrix.group()),
                      dtype_name(type), names(kTernaryTypes)));
    }
    group_scales_ = group_scales_ || matrix.scale_kind() == ScaleKind::kGroup;
  }

  std::vector<std::byte> bytes_of(const Slot& slot, const Form& form, const std::string& name) {
    Matrix matrix = in_.matrix(slot.spec->role, slot.layer, pool_);
    if (is_interleaved(architecture_, slot.spec->role)) {
      matrix = interleave(matrix, config_.head_dim);
    }
    step();
    auto* ternary = std::get_if<TernaryMatrix>(&matrix);
    if (ternary == nullptr) {
      return dense_bytes(std::get<DenseMatrix>(matrix), form.type, name, pool_);
    }
    if (form.unit_scale) ternary->mutable_scales()[0] = 1;
    if (among(kTernaryTypes, form.type)) return quant::write_ternary(*ternary, form.type).bytes;
    return expanded_bytes(*ternary, form.type, pool_);
  }

  void add_rope_factors() {
    if (config_.rope_factors.empty() && !config_.rope_llama3) return;
    const std::vector<double> factors = arch::rope_factors(config_);
    std::vector<float> values;
    for (const double f : factors) values.push_back(static_cast<float>(f));
    writer_.add_tensor("rope_freqs.weight", DType::kF32, {values.size()},
                       [values] { return vector_bytes(values, DType::kF32); });
  }

  void add_metadata() {
    std::filesystem::path path(in_.name());
    if (path.filename().empty()) path = path.parent_path();  // "folder/".
    const std::string name = !options_.name.empty()  ? options_.name
                             : !config_.name.empty() ? config_.name
                             : in_.gguf() != nullptr ? path.stem().string()
                                                     : path.filename().string();
    set_model_keys(writer_, config_, ternary_body_.value_or(body_), name);
    set_activations_key();
    const formats::GgufFile* source = in_.gguf();
    const auto& tokenizer = in_.tokenizer();
    const formats::GgufValue* tokens =
        source == nullptr ? nullptr : source->find("tokenizer.ggml.tokens");
    const bool carry_tokenizer = tokens != nullptr && tokens->count == config_.vocab;
    if (carry_tokenizer && tokenizer && tokenizer->kind == tokenizer::TokenizerKind::kByteBpe &&
        tokenizer->pre != tokenizer::PreTokenizer::kNone) {
      // What was used, should the file not have said it.
      writer_.set_string("tokenizer.ggml.pre", checkpoint::gguf_name(tokenizer->pre));
    }
    if (source != nullptr) {
      for (const auto& [key, value] : source->metadata()) {
        const bool general = key.starts_with("general.") && key != "general.alignment";
        const bool words = carry_tokenizer && key.starts_with("tokenizer.");
        if ((general || words) && !writer_.has(key)) writer_.set_raw(std::string(key), value);
      }
    }
    if (!carry_tokenizer) {
      if (tokenizer) {
        set_tokenizer_keys(writer_, *tokenizer, config_.vocab, notice_);
      } else {
        notify(notice_, "no tokenizer was found, and the file is written without one");
      }
    }
    if (!in_.chat_template().empty() && !writer_.has("tokenizer.chat_template")) {
      writer_.set_string("tokenizer.chat_template", in_.chat_template());
    }
  }

  // Where neither architecture nor tensor types say what the model's own files declared.
  void set_activations_key() {
    if (config_.declares_float) {
      writer_.set_string(std::string(checkpoint::kActivationsKey), "float");
    } else if (config_.declares_b158 && !architecture_.declares_b158 && group_scales_) {
      writer_.set_string(std::string(checkpoint::kActivationsKey), "token");
      notify(notice_,
             fmt::format("activations are quantised over whole rows, which key {} says; programs "
                         "that do not know it quantise them in groups",
                         checkpoint::kActivationsKey));
    }
  }

  void report() const {
    f16_loss_.report("F16", notice_);
    bf16_loss_.report("BF16", notice_);
    if (unfit_ > 0) {
      std::string cols;
      for (const std::size_t n : unfit_cols_) {
        cols += (cols.empty() ? "" : " and ") + std::to_string(n);
      }
      notify(notice_,
             fmt::format(
                 "{} matrices have rows of {} weights, no multiple of the {} of a block of {}, and "
                 "are written as F16 holding exactly -s, 0 and +s",
                 unfit_, cols, dtype_block(unfit_type_), dtype_name(unfit_type_)));
    }
    if (unfit_dense_ > 0) {
      notify(notice_,
             fmt::format("{} matrices have rows that {} cannot hold, and are written as F16",
                         unfit_dense_, dtype_name(*options_.type)));
    }
    if (per_row_ > 0) {
      notify(notice_,
             fmt::format("{} matrices have one scale per row, which is written into every block; "
                         "IQ2_BN stores it once",
                         per_row_));
    }
    if (architecture_.gguf_always_tied && !config_.tied_head) {
      notify(notice_,
             "the model has a head of its own, which other engines do not look for in "
             "this architecture");
    }
  }

  const checkpoint::Checkpoint& in_;
  const arch::ModelConfig& config_;
  const arch::Architecture& architecture_;
  const ConvertOptions& options_;
  ThreadPool& pool_;
  const Notice& notice_;
  const Progress& progress_;
  std::vector<Slot> slots_;
  formats::GgufWriter writer_;
  std::size_t steps_ = 0;
  bool group_scales_ = false;  // Some linear layer has them.
  DType body_ = DType::kF16;
  std::optional<DType> ternary_body_;
  std::size_t ternary_matrices_ = 0, unfit_ = 0, unfit_dense_ = 0, per_row_ = 0;
  DType unfit_type_ = DType::kTQ2_0;
  std::set<std::size_t> unfit_cols_;
  ScaleLoss f16_loss_, bf16_loss_;
};

}  // namespace

void write_gguf(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
                const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
                const Progress& progress) {
  check_options(options);
  const arch::ModelConfig& config = in.config();
  const arch::GateActivation meant = arch::architecture(config.arch).gguf_activation;
  if (config.activation != meant) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{}: the gate activation is {}, but GGUF has no key for it and every reader of "
                    "architecture {} takes {}",
                    in.name(), arch::activation_name(config.activation),
                    arch::architecture(config.arch).gguf_names.front(),
                    arch::activation_name(meant)));
  }
  GgufConversion(in, options, pool, notice, progress).write(out);
}

}  // namespace tern::convert
