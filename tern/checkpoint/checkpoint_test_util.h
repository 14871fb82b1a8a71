// Tiny models as files, for the tests of this room: tensors and a config that a test can spoil.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/formats/gguf.h"
#include "tern/formats/safetensors.h"
#include "tern/tensor/half.h"

namespace tern::checkpoint::test {

struct TestTensor {
  DType type = DType::kF32;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline TestTensor floats(std::vector<std::uint64_t> shape, const std::vector<float>& values) {
  return {DType::kF32, std::move(shape), bytes_of(values)};
}

inline TestTensor bf16(std::vector<std::uint64_t> shape, const std::vector<float>& values) {
  std::vector<std::uint16_t> halves;
  for (const float value : values) halves.push_back(float_to_bf16(value));
  return {DType::kBF16, std::move(shape), bytes_of(halves)};
}

inline TestTensor packed(std::vector<std::uint64_t> shape, const std::vector<std::uint8_t>& codes) {
  return {DType::kU8, std::move(shape), bytes_of(codes)};
}

// Floats that tell every place apart and are not ternary: first, first + 1, ...
inline TestTensor counted(std::vector<std::uint64_t> shape, float first = 1) {
  std::size_t n = 1;
  for (const std::uint64_t size : shape) n *= size;
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = first + static_cast<float>(i);
  return floats(std::move(shape), values);
}

// A folder that is gone when the test ends.
class TempFolder {
 public:
  TempFolder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            ("tern_" + std::string(info->test_suite_name()) + "_" + info->name() + "_" +
             std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Two layers of hidden 8, two heads of 4, one key-value head, FFN 10, vocabulary 6.
struct HfModel {
  Json config;
  std::map<std::string, TestTensor> tensors;

  void write(const std::filesystem::path& folder) const {
    write_text(folder / "config.json", config.dump(1));
    formats::SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors) {
      writer.add_tensor(name, tensor.type, tensor.shape, [&t = tensor] { return t.bytes; });
    }
    writer.write(folder / "model.safetensors");
  }
};

inline HfModel llama_model() {
  HfModel m;
  m.config = {{"architectures", {"LlamaForCausalLM"}},
              {"model_type", "llama"},
              {"hidden_act", "silu"},
              {"hidden_size", 8},
              {"intermediate_size", 10},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"vocab_size", 6},
              {"max_position_embeddings", 32},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000.0},
              {"tie_word_embeddings", false}};
  m.tensors["model.embed_tokens.weight"] = counted({6, 8});
  m.tensors["lm_head.weight"] = counted({6, 8}, 100);
  m.tensors["model.norm.weight"] = counted({8}, 200);
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    const float first = 1000.0f * static_cast<float>(layer + 1);
    m.tensors[at + "input_layernorm.weight"] = counted({8}, first);
    m.tensors[at + "post_attention_layernorm.weight"] = counted({8}, first);
    m.tensors[at + "self_attn.q_proj.weight"] = counted({8, 8}, first);
    m.tensors[at + "self_attn.k_proj.weight"] = counted({4, 8}, first);
    m.tensors[at + "self_attn.v_proj.weight"] = counted({4, 8}, first);
    m.tensors[at + "self_attn.o_proj.weight"] = counted({8, 8}, first);
    m.tensors[at + "mlp.gate_proj.weight"] = counted({10, 8}, first);
    m.tensors[at + "mlp.up_proj.weight"] = counted({10, 8}, first);
    m.tensors[at + "mlp.down_proj.weight"] = counted({8, 10}, first);
  }
  return m;
}

inline const std::vector<std::string>& linear_names() {
  static const std::vector<std::string> names{
      "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
      "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  return names;
}

// Every linear layer as packed codes: byte 0x86 is rows +1, 0, -1, +1 of the four row blocks.
inline void pack(HfModel& m, float scale) {
  for (int layer = 0; layer < 2; ++layer) {
    for (const std::string& linear : linear_names()) {
      const std::string name = "model.layers." + std::to_string(layer) + "." + linear + ".weight";
      std::vector<std::uint64_t> shape = m.tensors[name].shape;
      shape[0] = (shape[0] + 3) / 4;
      m.tensors[name] = packed(shape, std::vector<std::uint8_t>(shape[0] * shape[1], 0x86));
      m.tensors[name + "_scale"] = bf16({1}, {scale});
    }
  }
}

inline HfModel packed_2b4t() {
  HfModel m = llama_model();
  m.config["architectures"] = {"BitNetForCausalLM"};
  m.config["model_type"] = "bitnet";
  m.config["hidden_act"] = "relu2";
  m.config["quantization_config"] = {{"quant_method", "bitnet"},
                                     {"linear_class", "autobitlinear"},
                                     {"quantization_mode", "offline"}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    m.tensors[at + "self_attn.attn_sub_norm.weight"] = counted({8}, 7);
    m.tensors[at + "mlp.ffn_sub_norm.weight"] = counted({10}, 7);
  }
  pack(m, 0.5f);
  return m;
}

// The same sizes as a GGUF file.
struct GgufModel {
  std::string arch = "llama";
  std::map<std::string, TestTensor> tensors;
  std::function<void(formats::GgufWriter&)> more;  // Further keys.
  std::map<std::string, std::uint32_t> numbers{
      {"block_count", 2},          {"context_length", 32},      {"embedding_length", 8},
      {"feed_forward_length", 10}, {"attention.head_count", 2}, {"attention.head_count_kv", 1}};

  void write(const std::filesystem::path& path) const {
    formats::GgufWriter writer;
    writer.set_string("general.architecture", arch);
    for (const auto& [key, value] : numbers) writer.set_uint32(arch + "." + key, value);
    writer.set_float32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
    if (more) more(writer);
    for (const auto& [name, tensor] : tensors) {
      writer.add_tensor(name, tensor.type, tensor.shape, [&t = tensor] { return t.bytes; });
    }
    writer.write(path);
  }
};

inline GgufModel gguf_model(const std::string& arch) {
  GgufModel m;
  m.arch = arch;
  m.tensors["token_embd.weight"] = counted({6, 8});
  m.tensors["output_norm.weight"] = counted({8});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string at = "blk." + std::to_string(layer) + ".";
    m.tensors[at + "attn_norm.weight"] = counted({8});
    m.tensors[at + "ffn_norm.weight"] = counted({8});
    m.tensors[at + "attn_q.weight"] = counted({8, 8});
    m.tensors[at + "attn_k.weight"] = counted({4, 8});
    m.tensors[at + "attn_v.weight"] = counted({4, 8});
    m.tensors[at + "attn_output.weight"] = counted({8, 8});
    m.tensors[at + "ffn_gate.weight"] = counted({10, 8});
    m.tensors[at + "ffn_up.weight"] = counted({10, 8});
    m.tensors[at + "ffn_down.weight"] = counted({8, 10});
    if (arch.starts_with("bitnet")) {
      m.tensors[at + "attn_sub_norm.weight"] = counted({8});
      m.tensors[at + "ffn_sub_norm.weight"] = counted({10});
    }
    if (arch == "qwen3") {
      m.tensors[at + "attn_q_norm.weight"] = counted({4});
      m.tensors[at + "attn_k_norm.weight"] = counted({4});
    }
  }
  return m;
}

inline std::unique_ptr<const Checkpoint> open_model(const HfModel& model, const TempFolder& temp,
                                                    const OpenOptions& options = {}) {
  model.write(temp.path());
  return open_checkpoint(temp.path(), options);
}

inline std::unique_ptr<const Checkpoint> open_model(const GgufModel& model, const TempFolder& temp,
                                                    const OpenOptions& options = {}) {
  const std::filesystem::path path = temp.path() / "model.gguf";
  model.write(path);
  return open_checkpoint(path, options);
}

// The sentence with which opening fails; "" where it does not.
template <typename Model>
std::string refusal(const Model& model) {
  const TempFolder temp;
  try {
    open_model(model, temp);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

inline void expect_parts(const std::string& sentence, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(sentence.find(part), std::string::npos) << "'" << part << "' not in: " << sentence;
  }
}

// A row of a matrix as floats, whatever it is.
inline std::vector<float> row_of(const Matrix& matrix, std::size_t row) {
  std::vector<float> out(matrix_cols(matrix));
  if (const auto* t = std::get_if<TernaryMatrix>(&matrix)) {
    for (std::size_t c = 0; c < out.size(); ++c) {
      out[c] = static_cast<float>(t->digit(row, c)) * t->scale(row, c);
    }
  } else {
    const auto& d = std::get<DenseMatrix>(matrix);
    EXPECT_EQ(d.type, DType::kF32);
    std::memcpy(out.data(), d.row(row), out.size() * sizeof(float));
  }
  return out;
}

}  // namespace tern::checkpoint::test
