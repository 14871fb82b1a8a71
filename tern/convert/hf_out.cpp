// First a look at every tensor, then model.safetensors, one tensor at a time, then the small files.
#include "tern/convert/hf_out.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "tern/arch/architecture.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/checkpoint/tokenizer_files.h"
#include "tern/convert/hf_config_out.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/formats/safetensors.h"
#include "tern/quant/ternary_codec.h"
#include "tern/tensor/half.h"

namespace tern::convert {
namespace {

// The weight_scale that a "bitlinear" layer divides by and that gives exactly `scale`, if there is
// one: the inverse is not one to one in float32.
std::optional<float> exact_divisor(float scale) {
  const float inverse = 1.0f / scale;
  const float short_one = bf16_to_float(float_to_bf16(inverse));
  if (1.0f / short_one == scale) return short_one;
  float low = inverse, high = inverse;
  for (int i = 0; i < 3; ++i) {
    if (1.0f / low == scale) return low;
    if (1.0f / high == scale) return high;
    low = std::nextafter(low, -INFINITY);
    high = std::nextafter(high, INFINITY);
  }
  return std::nullopt;
}

// The narrowest type that holds every value: what a model trained in it had.
DType narrowest(std::span<const float> values) noexcept {
  for (const DType type : {DType::kBF16, DType::kF16}) {
    if (holds_exactly(values, type)) return type;
  }
  return DType::kF32;
}

DType narrowest(const DenseMatrix& matrix, ThreadPool& pool) {
  for (const DType type : {DType::kBF16, DType::kF16}) {
    if (holds_exactly(matrix, type, pool)) return type;
  }
  return DType::kF32;
}

// One scale, or one per row; nullopt where the groups of a row differ. (TQ types have no other way
// to store one per row than in every block of it.)
std::optional<std::vector<float>> folder_scales(const TernaryMatrix& matrix) {
  const std::span<const float> all = matrix.scales();
  const std::size_t per_row = matrix.groups_per_row();
  std::vector<float> scales;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % per_row == 0) {
      scales.push_back(all[i]);
    } else if (all[i] != scales.back()) {
      return std::nullopt;
    }
  }
  return scales;
}

bool is_plain(DType type) noexcept {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

class HfConversion {
 public:
  HfConversion(const checkpoint::Checkpoint& in, const ConvertOptions& options, ThreadPool& pool,
               const Notice& notice, const Progress& progress)
      : in_(in),
        config_(in.config()),
        options_(options),
        pool_(pool),
        notice_(notice),
        progress_(progress),
        slots_(slots(config_)) {
    for (const checkpoint::TensorInfo& info : in.tensors()) {
      if (const auto type = dtype_by_name(info.type)) types_[{info.role, info.layer}] = *type;
    }
  }

  void write(const std::filesystem::path& out) {
    for (const Slot& slot : slots_) {
      look_at(slot);
      step();
    }
    choose_linear_class();
    for (const Slot& slot : slots_) add(slot);
    AtomicFolder folder(out);
    const std::filesystem::path& to = folder.temporary();
    writer_.set_metadata("format", "pt");
    writer_.write(to / "model.safetensors");
    write_json(to / "config.json", config_json(in_, body_));
    write_tokenizer(to);
    folder.commit();
  }

 private:
  // What the first look found of a tensor.
  struct Found {
    DType type = DType::kF32;   // In the folder; packed ternary: kU8.
    std::vector<float> scales;  // Of a packed one.
  };

  std::string hf_name(const Slot& slot) const {
    return arch::tensor_name(slot.spec->hf, slot.layer);
  }

  void step() {
    ++steps_;
    if (progress_) {
      progress_("converting", static_cast<double>(steps_) / static_cast<double>(2 * slots_.size()));
    }
  }

  // The type that the source has, where it is a folder and thus a type that folders have.
  std::optional<DType> source_type(const Slot& slot) const {
    const auto found = types_.find({slot.spec->role, slot.layer});
    if (in_.folder().empty() || found == types_.end() || !is_plain(found->second)) {
      return std::nullopt;
    }
    return found->second;
  }

  void look_at(const Slot& slot) {
    Found& found = found_.emplace_back();
    if (!slot.spec->is_matrix()) {
      const auto type = source_type(slot);
      found.type = type ? *type : narrowest(in_.vector(slot.spec->role, slot.layer));
      return;
    }
    const Matrix matrix = in_.matrix(slot.spec->role, slot.layer, pool_);
    const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
    if (ternary == nullptr) {
      const auto& dense = std::get<DenseMatrix>(matrix);
      const auto type = source_type(slot);
      found.type = type ? *type : narrowest(dense, pool_);
      if (slot.spec->linear) body_.not_packed.push_back(module_of(slot));
    } else if (!slot.spec->linear) {
      found.type = narrowest(ternary->scales());  // As floats: only linear layers are packed.
    } else {
      const auto scales = folder_scales(*ternary);
      if (!scales) {
        throw Error(
            ErrorCode::kUnsupported,
            fmt::format("{}: {} has one scale for every {} columns, but a Hugging Face folder "
                        "holds one per tensor or per row",
                        in_.name(), hf_name(slot), ternary->group()));
      }
      found.type = DType::kU8;
      found.scales = *scales;
      body_.packed = true;
    }
    if (slot.spec->role == arch::TensorRole::kEmbedding) body_.dtype = found.type;
  }

  std::string module_of(const Slot& slot) const {
    const std::string name = hf_name(slot);
    return name.substr(0, name.rfind('.'));
  }

  // Turns scales into divisors where the linear class divides.
  void choose_linear_class() {
    if (!body_.packed) {
      if (options_.linear_class) {
        throw Error(ErrorCode::kBadArgument,
                    in_.name() + ": a linear class was given, but the model has no ternary layers");
      }
      return;
    }
    const bool divides_by_custom = config_.arch == arch::ArchitectureId::kLlama ||
                                   config_.arch == arch::ArchitectureId::kQwen3;
    const bool divides = options_.linear_class ? *options_.linear_class == LinearClass::kBitLinear
                                               : divides_by_custom;
    if (!divides) return;
    std::vector<Found> divisors = found_;
    std::size_t inexact = 0, all = 0;
    double largest = 0;
    for (Found& found : divisors) {
      for (float& scale : found.scales) {
        const auto divisor = exact_divisor(scale);
        ++all;
        if (!divisor) {
          const float inverse = 1.0f / scale;
          if (!std::isfinite(inverse) || !std::isfinite(1.0f / inverse)) largest = INFINITY;
          ++inexact;
          largest = std::max(
              largest, std::abs(static_cast<double>(1.0f / inverse) - static_cast<double>(scale)) /
                           std::abs(static_cast<double>(scale)));
          scale = inverse;
        } else {
          scale = *divisor;
        }
      }
    }
    if (inexact > 0 && !options_.linear_class) {
      notify(notice_,
             fmt::format("{} of {} weight scales are the inverse of no number, so that the "
                         "folder is written with linear_class autobitlinear",
                         inexact, all));
      return;
    }
    if (inexact > 0) {
      if (!std::isfinite(largest)) {
        throw Error(ErrorCode::kUnsupported,
                    in_.name() +
                        ": a weight scale has no inverse, which linear_class bitlinear "
                        "stores; expected autobitlinear");
      }
      notify(notice_,
             fmt::format("{} of {} weight scales were rounded, being the inverse of no number, "
                         "by at most {:.2g} of their value",
                         inexact, all, largest));
    }
    body_.linear_class = LinearClass::kBitLinear;
    found_ = std::move(divisors);
  }

  void add(const Slot& slot) {
    const Found& found = found_[static_cast<std::size_t>(&slot - slots_.data())];
    const std::string name = hf_name(slot);
    auto shape = arch::tensor_shape(slot.spec->shape, config_);
    if (!slot.spec->is_matrix()) {
      writer_.add_tensor(name, found.type, std::move(shape), [this, slot, type = found.type] {
        step();
        return vector_bytes(in_.vector(slot.spec->role, slot.layer), type);
      });
      return;
    }
    if (found.type == DType::kU8) shape[0] = (shape[0] + 3) / 4;
    writer_.add_tensor(name, found.type, std::move(shape), [this, slot, name, type = found.type] {
      const Matrix matrix = in_.matrix(slot.spec->role, slot.layer, pool_);
      step();
      const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
      if (ternary == nullptr) return dense_bytes(std::get<DenseMatrix>(matrix), type, name, pool_);
      if (type == DType::kU8) return quant::write_hf_packed(*ternary);
      return expanded_bytes(*ternary, type, pool_);
    });
    if (found.type != DType::kU8) return;
    writer_.add_tensor(name + "_scale", narrowest(found.scales), {found.scales.size()},
                       [&found] { return vector_bytes(found.scales, narrowest(found.scales)); });
  }

  void write_tokenizer(const std::filesystem::path& to) const {
    if (!in_.folder().empty()) {
      checkpoint::copy_tokenizer_files(in_.folder(), to);
      return;
    }
    write_json(to / "generation_config.json", generation_json(in_));
    if (!in_.tokenizer()) {
      notify(notice_, "no tokenizer was found, and the folder is written without one");
      return;
    }
    write_json(to / "tokenizer.json", checkpoint::tokenizer_json(*in_.tokenizer()));
    write_json(
        to / "tokenizer_config.json",
        checkpoint::tokenizer_config_json(*in_.tokenizer(), in_.chat_template(), config_.context));
  }

  const checkpoint::Checkpoint& in_;
  const arch::ModelConfig& config_;
  const ConvertOptions& options_;
  ThreadPool& pool_;
  const Notice& notice_;
  const Progress& progress_;
  std::vector<Slot> slots_;
  std::vector<Found> found_;  // One per slot.
  std::map<std::pair<arch::TensorRole, std::size_t>, DType> types_;
  formats::SafetensorsWriter writer_;
  HfBody body_;
  std::size_t steps_ = 0;
};

}  // namespace

void write_hf(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
              const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
              const Progress& progress) {
  HfConversion(in, options, pool, notice, progress).write(out);
}

}  // namespace tern::convert
