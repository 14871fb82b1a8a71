// Digits and floats from a fixed generator, packed by hand.
#include "tern/convert/convert_test_util.h"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "tern/arch/architecture.h"
#include "tern/base/json.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/formats/safetensors.h"
#include "tern/tensor/half.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::convert {
namespace {

using Shape = std::vector<std::uint64_t>;

void put(std::vector<std::byte>& out, DType type, float value) {
  std::byte bytes[4];
  std::size_t size = 4;
  if (type == DType::kF32) {
    std::memcpy(bytes, &value, 4);
  } else {
    const std::uint16_t half = type == DType::kBF16 ? float_to_bf16(value) : float_to_f16(value);
    std::memcpy(bytes, &half, 2);
    size = 2;
  }
  out.insert(out.end(), bytes, bytes + size);
}

class Maker {
 public:
  Maker(Kind kind, const TinyShape& s) : kind_(kind), s_(s) {
    type_ = kind == Kind::k1BitLlm     ? DType::kF16
            : kind == Kind::kLlamaFull ? DType::kF32
                                       : DType::kBF16;
  }

  Stored make() {
    const std::uint64_t h = s_.hidden, f = s_.ffn, head = h / s_.heads, kv = head * s_.kv_heads;
    floats("model.embed_tokens.weight", {s_.vocab, h}, 0, s_.embedding_width);
    floats("model.norm.weight", {h}, 1, 0.1f);
    for (std::size_t i = 0; i < s_.layers; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      floats(layer + "input_layernorm.weight", {h}, 1, 0.1f);
      floats(layer + "post_attention_layernorm.weight", {h}, 1, 0.1f);
      if (kind_ == Kind::kQwen3Packed) {
        floats(layer + "self_attn.q_norm.weight", {head}, 1, 0.1f);
        floats(layer + "self_attn.k_norm.weight", {head}, 1, 0.1f);
      }
      if (kind_ == Kind::k2B4TPacked || kind_ == Kind::k2B4TLatent) {
        floats(layer + "self_attn.attn_sub_norm.weight", {h}, 1, 0.1f);
        floats(layer + "mlp.ffn_sub_norm.weight", {f}, 1, 0.1f);
      }
      if (kind_ == Kind::k1BitLlm) {
        floats(layer + "self_attn.inner_attn_ln.weight", {h}, 1, 0.1f);
        floats(layer + "mlp.ffn_layernorm.weight", {f}, 1, 0.1f);
      }
      linear(layer + "self_attn.q_proj.weight", h, h);
      linear(layer + "self_attn.k_proj.weight", kv, h);
      linear(layer + "self_attn.v_proj.weight", kv, h);
      linear(layer + "self_attn.o_proj.weight", h, h);
      linear(layer + "mlp.gate_proj.weight", f, h);
      linear(layer + "mlp.up_proj.weight", f, h);
      linear(layer + "mlp.down_proj.weight", h, f);
    }
    return std::move(stored_);
  }

 private:
  bool packed() const {
    return kind_ == Kind::k2B4TPacked || kind_ == Kind::kLlamaPacked || kind_ == Kind::kQwen3Packed;
  }

  void floats(const std::string& name, const Shape& shape, float mean, float width) {
    StoredTensor& t = stored_[name];
    t.type = type_;
    t.shape = shape;
    std::size_t n = 1;
    for (const auto d : shape) n *= d;
    std::uniform_real_distribution<float> draw(mean - width, mean + width);
    for (std::size_t i = 0; i < n; ++i) put(t.bytes, type_, draw(random_));
  }

  // pack_weights: four row blocks in the bit pairs of a byte.
  void linear(const std::string& name, std::uint64_t rows, std::uint64_t cols) {
    if (!packed()) {
      floats(name, {rows, cols}, 0, 0.1f);
      return;
    }
    StoredTensor& t = stored_[name];
    t.type = DType::kU8;
    t.shape = {rows / 4, cols};
    t.bytes.resize(rows / 4 * cols);
    for (std::uint64_t r = 0; r < rows; ++r) {
      for (std::uint64_t c = 0; c < cols; ++c) {
        const auto code = static_cast<unsigned>(random_() % 3);
        t.bytes[r % (rows / 4) * cols + c] |=
            static_cast<std::byte>(code << (2 * (r / (rows / 4))));
      }
    }
    const std::uint64_t scales = s_.row_scales ? rows : 1;
    const bool divides = kind_ != Kind::k2B4TPacked;
    StoredTensor& scale = stored_[name + "_scale"];
    scale.type = DType::kBF16;
    scale.shape = {scales};
    std::uniform_real_distribution<float> draw(0.02f, 0.08f);
    for (std::uint64_t i = 0; i < scales; ++i) {
      const float s = draw(random_);
      put(scale.bytes, DType::kBF16, divides ? 1 / s : s);
    }
  }

  Kind kind_;
  TinyShape s_;
  DType type_;
  Stored stored_;
  std::mt19937 random_{7};
};

Json config(Kind kind, const TinyShape& s) {
  Json json = {{"vocab_size", s.vocab},
               {"hidden_size", s.hidden},
               {"intermediate_size", s.ffn},
               {"num_hidden_layers", s.layers},
               {"num_attention_heads", s.heads},
               {"num_key_value_heads", s.kv_heads},
               {"head_dim", s.hidden / s.heads},
               {"max_position_embeddings", 512},
               {"rms_norm_eps", 1e-5},
               {"rope_theta", 500000.0},
               {"hidden_act", "silu"},
               {"tie_word_embeddings", true},
               {"made_by", "a test"}};
  if (s.llama3_rope) {
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8.0},
                            {"low_freq_factor", 1.0},
                            {"high_freq_factor", 4.0},
                            {"original_max_position_embeddings", 8192}};
  }
  const auto named = [&](const char* cls, const char* type) {
    json["architectures"] = {cls};
    json["model_type"] = type;
  };
  const auto quantised = [&](const char* linear_class, const char* mode) {
    json["quantization_config"] = {{"quant_method", "bitnet"},
                                   {"linear_class", linear_class},
                                   {"quantization_mode", mode},
                                   {"modules_to_not_convert", {"lm_head"}}};
  };
  switch (kind) {
    case Kind::k2B4TPacked:
    case Kind::k2B4TLatent:
      named("BitNetForCausalLM", "bitnet");
      json["hidden_act"] = "relu2";
      quantised("autobitlinear", kind == Kind::k2B4TPacked ? "offline" : "online");
      break;
    case Kind::kLlamaPacked:
      named("LlamaForCausalLM", "llama");
      quantised("bitlinear", "offline");
      break;
    case Kind::k1BitLlm:
      named("BitnetForCausalLM", "llama");
      json["weight_bits"] = 1;
      json["input_bits"] = 8;
      break;
    case Kind::kLlamaFull:
      named("LlamaForCausalLM", "llama");
      break;
    case Kind::kQwen3Packed:
      named("Qwen3ForCausalLM", "qwen3");
      quantised("bitlinear", "offline");
      break;
  }
  return json;
}

Json tokenizer() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[tokenizer::to_printable(std::string(1, static_cast<char>(byte)))] = byte;
  }
  vocab["th"] = 256;
  vocab["the"] = 257;
  Json added = Json::array();
  for (const auto& [id, text] : {std::pair{258, "<s>"}, std::pair{259, "</s>"}}) {
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return {
      {"version", "1.0"},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"t h", "th e"}}}}};
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string matrix_difference(const Matrix& a, const Matrix& b, ThreadPool& pool) {
  if (a.index() != b.index()) return "one is ternary";
  if (const auto* x = std::get_if<TernaryMatrix>(&a)) {
    const auto& y = std::get<TernaryMatrix>(b);
    for (std::size_t r = 0; r < x->rows(); ++r) {
      for (std::size_t c = 0; c < x->cols(); ++c) {
        if (x->digit(r, c) != y.digit(r, c)) return "another digit";
        if (x->scale(r, c) != y.scale(r, c)) return "another scale";
      }
    }
    return "";
  }
  const Bytes x = dense_bytes(std::get<DenseMatrix>(a), DType::kF32, "a", pool);
  return x == dense_bytes(std::get<DenseMatrix>(b), DType::kF32, "b", pool) ? "" : "another number";
}

}  // namespace

Stored make_folder(const std::filesystem::path& folder, Kind kind, const TinyShape& shape) {
  std::filesystem::create_directories(folder);
  Stored stored = Maker(kind, shape).make();
  formats::SafetensorsWriter writer;
  for (const auto& [name, tensor] : stored) {
    writer.add_tensor(name, tensor.type, tensor.shape, [&tensor] { return tensor.bytes; });
  }
  writer.write(folder / "model.safetensors");
  write_text(folder / "config.json", dump_json(config(kind, shape)));
  write_text(folder / "tokenizer.json", dump_json(tokenizer()));
  write_text(folder / "tokenizer_config.json", dump_json({{"bos_token", "<s>"},
                                                          {"eos_token", "</s>"},
                                                          {"add_bos_token", true},
                                                          {"chat_template", "{{ messages }}"}}));
  return stored;
}

Stored read_stored(const std::filesystem::path& folder) {
  const formats::SafetensorsFolder file(folder);
  Stored stored;
  for (const TensorView* view : file.tensors()) {
    stored[view->name] = {view->type, view->shape, {view->bytes.begin(), view->bytes.end()}};
  }
  return stored;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "tern-convert-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::size_t TemporaryFolder::entries() const {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path_)) ++n;
  return n;
}

std::string difference(const std::filesystem::path& a, const std::filesystem::path& b) {
  ThreadPool pool(1);
  const auto x = checkpoint::open_checkpoint(a, {});
  const auto y = checkpoint::open_checkpoint(b, {});
  for (const Slot& slot : slots(x->config())) {
    const std::string name = arch::tensor_name(slot.spec->hf, slot.layer) + ": ";
    if (!slot.spec->is_matrix()) {
      if (x->vector(slot.spec->role, slot.layer) != y->vector(slot.spec->role, slot.layer)) {
        return name + "another number";
      }
      continue;
    }
    const std::string found = matrix_difference(x->matrix(slot.spec->role, slot.layer, pool),
                                                y->matrix(slot.spec->role, slot.layer, pool), pool);
    if (!found.empty()) return name + found;
  }
  return "";
}

}  // namespace tern::convert
