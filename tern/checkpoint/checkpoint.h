// A GGUF file or HF folder as one thing: what the model is, its tensors by role, its tokenizer, its
// chat template. The only place that knows both the files and the architectures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/arch/model_config.h"
#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/formats/gguf.h"
#include "tern/tensor/matrix.h"
#include "tern/tensor/tensor_view.h"
#include "tern/tokenizer/tokenizer.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

struct OpenOptions {
  formats::I2SLayout i2s = formats::I2SLayout::kX86;
  std::optional<tokenizer::PreTokenizer> pre;  // Forces the pre-tokenizer of a GGUF.
  Notice notice;  // Sentences for stderr: I2_S read as x86, pre-tokenizer assumed, ...
};

// Sampling that the model's authors recommend (generation_config.json).
struct GenerationDefaults {
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<std::uint64_t> top_k;
};

// How a body matrix is stored, for inspect and convert.
struct TensorInfo {
  arch::TensorRole role;
  std::size_t layer = 0;
  std::string name;  // In the file.
  std::string type;  // "TQ2_0", "packed uint8 (divide)", "BF16 latent", "F16 holding ternary"...
  std::uint64_t bytes = 0;
  std::vector<std::uint64_t> shape;  // Of the weights (packed uint8: four times the rows stored).
};

// Const after construction. Opening checks the whole header: every tensor that the architecture
// needs is there with the right shape, every tensor in the file is known, vocabulary sizes agree.
// Throws Error naming file, thing, found and expected. Matrices are read on demand.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  const std::string& name() const noexcept { return name_; }  // The path, for messages.
  virtual std::string_view format() const noexcept = 0;       // "GGUF v3", "HF safetensors".
  const arch::ModelConfig& config() const noexcept { return config_; }
  virtual std::vector<TensorInfo> tensors() const = 0;

  // Norm weights and biases as floats, rows in HF (rotate-half) order; empty where the model has
  // none.
  virtual std::vector<float> vector(arch::TensorRole role, std::size_t layer) const = 0;

  // A matrix in the form in which it stays in memory, rows in HF (rotate-half) order whatever the
  // file has. Ternary storage, float matrices that hold only {-s, 0, +s}, and linear layers of a
  // model that is quantised on load ("online") become TernaryMatrix; the file's pages of what was
  // repacked are dropped. Everything else stays a view into this object's mapped file, which must
  // outlive it. The head of a tied model is its embedding. `layout` is a wish: what is stored as
  // ternary digits comes in it, unless its scales stand for groups of columns. Throws
  // Error(kBadArgument) for a matrix that the model does not have.
  virtual Matrix matrix(arch::TensorRole role, std::size_t layer, ThreadPool& pool,
                        TernaryLayout layout = TernaryLayout::kFourPerByte) const = 0;

  // The tokenizer, where the files have one.
  const std::optional<tokenizer::TokenizerData>& tokenizer() const noexcept { return tokenizer_; }
  // Empty where the files have none.
  const std::string& chat_template() const noexcept { return chat_template_; }
  // The template for conversations with tools, where the files have one of its own ("tool_use").
  const std::string& tool_template() const noexcept { return tool_template_; }
  const GenerationDefaults& generation() const noexcept { return generation_; }
  // The GGUF behind this checkpoint (to carry metadata over), or nullptr; the HF folder, or empty.
  virtual const formats::GgufFile* gguf() const noexcept { return nullptr; }
  virtual std::filesystem::path folder() const { return {}; }

 protected:
  // Throws Error(kCorruptFile) where the tokenizer has more pieces than the embedding has rows
  // (fewer are right: rows are padded).
  void check_tokenizer_size() const;

  std::string name_;
  arch::ModelConfig config_;
  std::optional<tokenizer::TokenizerData> tokenizer_;
  std::string chat_template_, tool_template_;
  GenerationDefaults generation_;
};

// `path`: a .gguf file or an HF folder (config.json and *.safetensors). Tokenizer files are read
// too, unless `with_tokenizer` is false (a broken tokenizer must not stop `score --tokens`).
std::unique_ptr<const Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                                  const OpenOptions& options,
                                                  bool with_tokenizer = true);

// Only the tokenizer: of a model, of a folder with nothing but tokenizer files, of a tokenizer.json
// or tokenizer.model given itself, or of a GGUF with nothing but a vocabulary.
tokenizer::TokenizerData open_tokenizer(const std::filesystem::path& path,
                                        const OpenOptions& options);

// Only the chat template of what open_tokenizer() takes (of a tokenizer file: what stands in its
// folder); empty where there is none.
std::string open_chat_template(const std::filesystem::path& path);

// The tokenizer of a model's files; what is wrong with the data is said with `file` in front.
tokenizer::Tokenizer make_tokenizer(tokenizer::TokenizerData data, const std::string& file);

}  // namespace tern::checkpoint
