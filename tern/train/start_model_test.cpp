// Folders that a run starts from, and teachers: what is taken over, what is refused.
#include "tern/train/start_model.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint_test_util.h"
#include "tern/corpus/corpus_test_util.h"
#include "tern/train/objective.h"
#include "tern/train/run_folder.h"
#include "tern/train/stepper.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::test::bf16;
using checkpoint::test::bytes_of;
using checkpoint::test::counted;
using checkpoint::test::expect_parts;
using checkpoint::test::HfModel;
using checkpoint::test::llama_model;
using checkpoint::test::TempFolder;
using checkpoint::test::TestTensor;
using checkpoint::test::write_text;
using torch::Tensor;

constexpr std::size_t kVocab = 300;  // Room for the small vocabulary of the corpus's tests.

HfModel with_room_for_words(HfModel m) {
  m.config["vocab_size"] = kVocab;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    if (m.tensors.contains(name)) m.tensors[name] = counted({kVocab, 8});
  }
  return m;
}

HfModel tied_llama() {
  HfModel m = llama_model();
  m.config["tie_word_embeddings"] = true;
  m.tensors.erase("lm_head.weight");
  return m;
}

HfModel qwen3_model() {
  HfModel m = llama_model();
  m.config["architectures"] = {"Qwen3ForCausalLM"};
  m.config["model_type"] = "qwen3";
  m.config["head_dim"] = 4;
  for (const char* layer : {"0", "1"}) {
    for (const char* norm : {"q_norm", "k_norm"}) {
      m.tensors[std::string("model.layers.") + layer + ".self_attn." + norm + ".weight"] =
          counted({4}, 3);
    }
  }
  return m;
}

// The latent weights of 1bitLLM's form: tied, sub-norms, quantised on load.
HfModel latent_bitnet() {
  HfModel m = tied_llama();
  m.config["architectures"] = {"BitnetForCausalLM"};
  for (const char* layer : {"0", "1"}) {
    const std::string at = std::string("model.layers.") + layer + ".";
    m.tensors[at + "self_attn.inner_attn_ln.weight"] = counted({8}, 5);
    m.tensors[at + "mlp.ffn_layernorm.weight"] = counted({10}, 6);
  }
  return m;
}

HfModel trained(HfModel m, const char* fields) {
  m.config["quantization_config"] =
      parse_json(std::string(R"({"quant_method": "tern", )") + fields + "}", "test");
  return m;
}

// The config of a run that starts from `folder`.
TrainConfig config_of(const fs::path& folder, std::vector<std::string> keys = {}) {
  const fs::path empty = folder / "empty.toml";
  AtomicFile file(empty);
  file.commit();
  keys.push_back("start.model=" + folder.string());
  for (const char* key : {"data.train=[\"x\"]", "training.out=\"x\"", "training.tokens=1000",
                          "training.precision=f32"}) {
    keys.emplace_back(key);
  }
  const auto given = [&](const char* name) {
    return std::any_of(keys.begin(), keys.end(),
                       [&](const std::string& key) { return key.starts_with(name); });
  };
  if (!given("training.sequence")) keys.emplace_back("training.sequence=16");
  if (!given("training.batch")) keys.emplace_back("training.batch=1");
  return load_config(empty, keys);
}

// The config after take_shape(), of a model that is written first.
TrainConfig started(const HfModel& model, const TempFolder& temp,
                    std::vector<std::string> keys = {}) {
  model.write(temp.path());
  TrainConfig config = config_of(temp.path(), std::move(keys));
  take_shape(config, config.start.model);
  return config;
}

Transformer loaded(const TrainConfig& config) {
  Transformer model(transformer_options(config), 0.02, config.sub_norm_init);
  load_folder_weights(config.start.model, model, config.start.sub_norms);
  return model;
}

// The sentence with which `act` refuses; "" where it does not.
std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::string refusal_of_shape(const HfModel& model, std::vector<std::string> keys = {}) {
  const TempFolder temp;
  return refusal([&] { started(model, temp, std::move(keys)); });
}

std::string refusal_of_weights(const HfModel& model) {
  const TempFolder temp;
  return refusal([&] { loaded(started(model, temp)); });
}

std::string refusal_of_teacher(const HfModel& model) {
  const TempFolder temp;
  model.write(temp.path());
  return refusal([&] { open_teacher(temp.path(), torch::kFloat32); });
}

// Whether each parameter of `model` has the float32 values of the tensor of its name.
void expect_weights(Transformer& model, const HfModel& expected) {
  for (const auto& p : model->named_parameters()) {
    ASSERT_TRUE(expected.tensors.contains(p.key())) << p.key();
    const TestTensor& tensor = expected.tensors.at(p.key());
    ASSERT_EQ(tensor.type, DType::kF32) << p.key();
    ASSERT_EQ(p.value().scalar_type(), torch::kFloat32) << p.key();
    ASSERT_EQ(p.value().nbytes(), tensor.bytes.size()) << p.key();
    EXPECT_EQ(std::memcmp(p.value().data_ptr(), tensor.bytes.data(), tensor.bytes.size()), 0)
        << p.key();
  }
}

std::vector<float> floats_of(const TestTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

// Halves, and eighths of small numbers: exact in every float type.
TestTensor eighths(const std::vector<std::uint64_t>& shape) {
  std::vector<float> values = floats_of(counted(shape));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 31) / 8 - 2;
  return checkpoint::test::floats(shape, values);
}

TestTensor f16(const TestTensor& tensor) {
  std::vector<std::uint16_t> halves;
  for (const float value : floats_of(tensor)) halves.push_back(float_to_f16(value));
  return {DType::kF16, tensor.shape, bytes_of(halves)};
}

TEST(TakeShape, IsTheFoldersWhateverTheDefaultsAre) {
  const TempFolder temp;
  const TrainConfig config = started(llama_model(), temp);
  EXPECT_EQ(config.model.arch, arch::ArchitectureId::kLlama);
  EXPECT_EQ(config.model.hidden, 8u);
  EXPECT_EQ(config.model.ffn, 10u);
  EXPECT_EQ(config.model.layers, 2u);
  EXPECT_EQ(config.model.heads, 2u);
  EXPECT_EQ(config.model.kv_heads, 1u);
  EXPECT_EQ(config.model.head_dim, 4u);
  EXPECT_EQ(config.model.vocab, 6u);
  EXPECT_EQ(config.model.context, 32u);
  EXPECT_FALSE(config.model.tied_head);
  EXPECT_FALSE(config.model.sub_norms);
  EXPECT_TRUE(config.model.declares_b158);
  EXPECT_EQ(config.tokenizer, temp.path());
}

TEST(TakeShape, AHeadThatIsNotThereIsTied) {
  HfModel m = tied_llama();
  m.config.erase("tie_word_embeddings");
  const TempFolder temp;
  EXPECT_TRUE(started(m, temp).model.tied_head);
  m.tensors["lm_head.weight"] = counted({6, 8});
  const TempFolder other;
  EXPECT_FALSE(started(m, other).model.tied_head);
}

TEST(TakeShape, RopeScalingComesAlong) {
  HfModel m = llama_model();
  m.config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 4.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 2.0},
                              {"original_max_position_embeddings", 16}};
  const TempFolder temp;
  const TrainConfig config = started(m, temp);
  ASSERT_TRUE(config.model.rope_llama3.has_value());
  EXPECT_EQ(config.model.rope_llama3->factor, 4);
  EXPECT_EQ(config.model.rope_llama3->original_context, 16u);
}

TEST(TakeShape, GivenKeysMustSayWhatTheModelIs) {
  const TempFolder temp;
  EXPECT_EQ(started(llama_model(), temp, {"model.hidden=8", "model.kv_heads=1"}).model.hidden, 8u);
  expect_parts(refusal_of_shape(llama_model(), {"model.hidden=16"}),
               {"model.hidden = 16", "has 8"});
  expect_parts(refusal_of_shape(llama_model(), {"model.layers=3"}), {"model.layers = 3", "has 2"});
  expect_parts(refusal_of_shape(llama_model(), {"model.architecture=qwen3"}),
               {"model.architecture", "qwen3", "llama"});
  expect_parts(refusal_of_shape(llama_model(), {"model.tied=true"}), {"model.tied"});
  expect_parts(refusal_of_shape(llama_model(), {"model.rope_theta=500000.0"}),
               {"model.rope_theta", "10000"});
}

TEST(TakeShape, AContextMayBeGivenAndMustHoldASequence) {
  const TempFolder temp;
  EXPECT_EQ(started(llama_model(), temp, {"model.context=64"}).model.context, 64u);
  expect_parts(refusal_of_shape(llama_model(), {"training.sequence=33"}),
               {"context of 32", "sequence of 33"});
}

TEST(TakeShape, ScalesOfLatentWeightsAreKeptUnlessOthersAreGiven) {
  const HfModel row = trained(latent_bitnet(), R"("weights": "b1.58", "scale": "row")");
  const TempFolder temp, other, plain, fp;
  EXPECT_EQ(started(row, temp).scale, ScaleKind::kRow);
  EXPECT_EQ(started(row, other, {"model.scale=tensor"}).scale, ScaleKind::kTensor);
  EXPECT_EQ(started(llama_model(), plain).scale, ScaleKind::kTensor);
  EXPECT_EQ(started(row, fp, {"model.weights=fp"}).scale, ScaleKind::kTensor);
}

TEST(TakeShape, FoldersThatCannotBeTrainedAreRefused) {
  expect_parts(refusal_of_shape(checkpoint::test::packed_2b4t()),
               {"packed ternary digits", "float weights"});
  HfModel some = trained(latent_bitnet(), R"("weights": "b1.58", "scale": "tensor",
      "modules_to_not_convert": ["lm_head", "model.layers.0"])");
  expect_parts(refusal_of_shape(some), {"modules_to_not_convert", "all layers alike"});
  const TempFolder temp;
  expect_parts(refusal([&] {
                 TrainConfig config = config_of(temp.path());
                 take_shape(config, temp.path() / "nothing");
               }),
               {"nothing", "no such folder"});
}

TEST(TakeShape, SubNormsMakeATiedLlamaABitnetAndLeaveOthersTheirName) {
  const std::vector<std::string> insert{"start.sub_norms=true"};
  const TempFolder tied, untied, qwen3;
  const TrainConfig bitnet = started(tied_llama(), tied, insert);
  EXPECT_EQ(bitnet.model.arch, arch::ArchitectureId::kBitnet);
  EXPECT_TRUE(bitnet.model.sub_norms);
  const TrainConfig llama = started(llama_model(), untied, insert);
  EXPECT_EQ(llama.model.arch, arch::ArchitectureId::kLlama);
  EXPECT_TRUE(llama.model.sub_norms);
  const TrainConfig qwen = started(qwen3_model(), qwen3, insert);
  EXPECT_EQ(qwen.model.arch, arch::ArchitectureId::kQwen3);
  EXPECT_TRUE(qwen.model.sub_norms && qwen.model.qk_norm);
}

TEST(TakeShape, SubNormsAreNotInsertedTwice) {
  const std::vector<std::string> insert{"start.sub_norms=true"};
  expect_parts(refusal_of_shape(latent_bitnet(), insert), {"already", "start.sub_norms"});
  HfModel declared = trained(llama_model(), R"("weights": "fp", "sub_norms": true)");
  expect_parts(refusal_of_shape(declared, insert), {"already", "start.sub_norms"});
}

TEST(TakeShape, ACheckpointOfTheRunHasThemAlready) {
  const TempFolder start, own;
  llama_model().write(start.path());
  trained(llama_model(), R"("weights": "b1.58", "scale": "tensor", "sub_norms": true)")
      .write(own.path());
  TrainConfig config = config_of(start.path(), {"start.sub_norms=true"});
  take_shape(config, own.path());
  EXPECT_TRUE(config.model.sub_norms);
}

TEST(LoadFolderWeights, ASingleFile) {
  for (const HfModel& m : {llama_model(), tied_llama(), qwen3_model(), latent_bitnet()}) {
    const TempFolder temp;
    Transformer model = loaded(started(m, temp));
    EXPECT_EQ(model->named_parameters().size(), m.tensors.size());
    expect_weights(model, m);
  }
}

TEST(LoadFolderWeights, Shards) {
  const HfModel m = llama_model();
  const TempFolder temp;
  write_text(temp.path() / "config.json", m.config.dump());
  formats::SafetensorsWriter shards[2];
  Json map = Json::object();
  std::size_t i = 0;
  for (const auto& [name, tensor] : m.tensors) {
    const std::size_t shard = i++ % 2;
    map[name] = shard == 0 ? "model-1.safetensors" : "model-2.safetensors";
    shards[shard].add_tensor(name, tensor.type, tensor.shape, [&t = tensor] { return t.bytes; });
  }
  shards[0].write(temp.path() / "model-1.safetensors");
  shards[1].write(temp.path() / "model-2.safetensors");
  write_text(temp.path() / "model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  TrainConfig config = config_of(temp.path());
  take_shape(config, config.start.model);
  Transformer model = loaded(config);
  expect_weights(model, m);
}

TEST(LoadFolderWeights, HalvesBecomeFloat32) {
  HfModel stored = llama_model(), expected = stored;
  std::size_t i = 0;
  for (auto& [name, tensor] : stored.tensors) {
    tensor = expected.tensors[name] = eighths(tensor.shape);
    if (i % 3 == 0) tensor = f16(tensor);
    if (i % 3 == 1) tensor = bf16(tensor.shape, floats_of(tensor));
    ++i;
  }
  const TempFolder temp;
  Transformer model = loaded(started(stored, temp));
  expect_weights(model, expected);
}

// Converted in pieces of 2^20 numbers: this is one and eight more.
TEST(LoadFolderWeights, AMatrixLongerThanAPiece) {
  HfModel stored = tied_llama();
  const std::vector<std::uint64_t> shape{(1 << 17) + 1, 8};
  const TestTensor whole = eighths(shape);
  stored.config["vocab_size"] = shape[0];
  stored.tensors["model.embed_tokens.weight"] = f16(whole);
  const TempFolder temp;
  Transformer model = loaded(started(stored, temp));
  const Tensor& found = model->named_parameters()["model.embed_tokens.weight"];
  ASSERT_EQ(found.nbytes(), whole.bytes.size());
  EXPECT_EQ(std::memcmp(found.data_ptr(), whole.bytes.data(), whole.bytes.size()), 0);
}

TEST(LoadFolderWeights, TheHeadOfATiedModelIsItsEmbedding) {
  HfModel m = tied_llama();
  m.tensors["lm_head.weight"] = m.tensors["model.embed_tokens.weight"];
  m.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = counted({2});
  EXPECT_EQ(refusal_of_weights(m), "");
}

TEST(LoadFolderWeights, WhatDoesNotFitIsNamed) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  HfModel m = llama_model();
  m.tensors.erase(name);
  expect_parts(refusal_of_weights(m), {"'" + name + "' is missing"});
  m.tensors[name] = counted({8, 10});  // The other way round.
  expect_parts(refusal_of_weights(m), {name, "8x10", "10x8"});
  m.tensors[name] = {DType::kI32, {10, 8}, std::vector<std::byte>(10 * 8 * 4)};
  expect_parts(refusal_of_weights(m), {name, "I32", "F32, F16 or BF16"});
  m = llama_model();
  m.tensors["model.layers.2.mlp.up_proj.weight"] = counted({10, 8});
  expect_parts(refusal_of_weights(m), {"model.layers.2.mlp.up_proj.weight", "no place"});
}

TEST(LoadFolderWeights, InsertedNormsBeginWhereTheConfigSays) {
  for (const HfModel& m : {llama_model(), tied_llama(), qwen3_model()}) {
    const TempFolder temp, half;
    Transformer model = loaded(started(m, temp, {"start.sub_norms=true"}));
    Transformer other =
        loaded(started(m, half, {"start.sub_norms=true", "model.sub_norm_init=0.5"}));
    EXPECT_EQ(model->named_parameters().size(), m.tensors.size() + 4);
    for (const auto& p : model->named_parameters()) {
      if (m.tensors.contains(p.key())) continue;
      EXPECT_TRUE(p.value().eq(1).all().item<bool>()) << p.key();
      EXPECT_TRUE(other->named_parameters()[p.key()].eq(0.5).all().item<bool>()) << p.key();
    }
  }
}

TEST(LoadFolderWeights, NormsThatNobodyInsertedMustBeThere) {
  HfModel m = latent_bitnet();
  m.tensors.erase("model.layers.1.mlp.ffn_layernorm.weight");
  expect_parts(refusal_of_weights(m), {"ffn_layernorm", "missing"});
}

// What a run writes is read again by the engine and by the next run, as the same model.
struct Written {
  const char* what;
  HfModel model;
  std::vector<std::string> keys;
  const char* hf_class;
  const char* method;  // "": no quantization_config.
};

TEST(Checkpoints, OfInsertedNormsAreReadAgain) {
  const std::vector<Written> cases{
      {"tied", tied_llama(), {}, "BitnetForCausalLM", "bitnet"},
      {"untied", llama_model(), {}, "LlamaForCausalLM", "tern"},
      {"qwen3", qwen3_model(), {}, "Qwen3ForCausalLM", "tern"},
      {"rows", llama_model(), {"model.scale=row"}, "LlamaForCausalLM", "tern"},
      {"fp", llama_model(), {"model.weights=fp"}, "LlamaForCausalLM", "tern"},
      {"tied fp", tied_llama(), {"model.weights=fp"}, "BitnetForCausalLM", "tern"},
  };
  for (const Written& c : cases) {
    SCOPED_TRACE(c.what);
    const TempFolder temp, run;
    std::vector<std::string> keys = c.keys;
    keys.insert(keys.end(), {"start.sub_norms=true", "model.sub_norm_init=0.25"});
    const TrainConfig config = started(with_room_for_words(c.model), temp, keys);
    Stepper stepper(config);
    load_folder_weights(config.start.model, stepper.model(), true);
    const RunFolder folder(run.path());
    const tokenizer::TokenizerData words = corpus::test::small_vocabulary();
    folder.keep_tokenizer(config, words);
    folder.write(config, words, stepper, {}, {.step = 1});
    const fs::path made = run.path() / "checkpoints/step-00000001";

    const Json json = parse_json(read_text_file(made / "config.json"), "config.json");
    EXPECT_EQ(json.at("architectures").at(0), c.hf_class);
    EXPECT_EQ(json.at("quantization_config").at("quant_method"), c.method);

    const auto engine = checkpoint::open_checkpoint(made, {});
    EXPECT_TRUE(engine->config().sub_norms);
    EXPECT_EQ(engine->config().arch, config.model.arch);
    EXPECT_EQ(engine->config().tied_head, config.model.tied_head);
    EXPECT_EQ(engine->config().declares_float, config.model.declares_float);
    EXPECT_EQ(engine->vector(arch::TensorRole::kAttnSubNorm, 1), std::vector<float>(8, 0.25f));
    EXPECT_EQ(engine->vector(arch::TensorRole::kFfnSubNorm, 0), std::vector<float>(10, 0.25f));

    TrainConfig next = config_of(made, c.keys);
    take_shape(next, next.start.model);
    EXPECT_EQ(next.model.arch, config.model.arch);
    EXPECT_TRUE(next.model.sub_norms);
    EXPECT_EQ(next.scale, config.scale);
    Transformer model = loaded(next);
    for (const auto& p : stepper.model()->named_parameters()) {
      EXPECT_TRUE(torch::equal(model->named_parameters()[p.key()], p.value())) << p.key();
    }
  }
}

TEST(Teacher, IsFullPrecisionAndHasNoGradients) {
  const TempFolder temp, declared;
  llama_model().write(temp.path());
  Transformer teacher = open_teacher(temp.path(), torch::kFloat32);
  expect_weights(teacher, llama_model());
  for (const auto& p : teacher->named_parameters()) EXPECT_FALSE(p.value().requires_grad());
  for (const auto& [name, layer] : teacher->bit_linears()) {
    EXPECT_EQ(layer->options.format().kind, WeightKind::kFullPrecision) << name;
  }
  // A checkpoint of weights = "fp", whose architecture's other models are ternary.
  trained(latent_bitnet(), R"("weights": "fp")").write(declared.path());
  EXPECT_EQ(refusal([&] { open_teacher(declared.path(), torch::kFloat32); }), "");
}

TEST(Teacher, KeepsItsMatricesInTheTypeOfTheProducts) {
  HfModel m = llama_model();
  for (auto& [name, tensor] : m.tensors) tensor = eighths(tensor.shape);
  const TempFolder temp;
  m.write(temp.path());
  Transformer teacher = open_teacher(temp.path(), torch::kBFloat16);
  for (const auto& p : teacher->named_parameters()) {
    EXPECT_EQ(p.value().scalar_type(), p.value().dim() == 2 ? torch::kBFloat16 : torch::kFloat32)
        << p.key();
    const std::vector<float> values = floats_of(m.tensors.at(p.key()));
    EXPECT_TRUE(torch::equal(p.value().to(torch::kFloat32).view({-1}), torch::tensor(values)))
        << p.key();
  }
  EXPECT_TRUE(teacher(torch::tensor({{1, 2, 3}})).isfinite().all().item<bool>());
}

TEST(Teacher, AQuantisedOneIsRefused) {
  expect_parts(refusal_of_teacher(latent_bitnet()), {"quantised", "full precision"});
  expect_parts(
      refusal_of_teacher(trained(llama_model(), R"("weights": "b1.58", "scale": "tensor")")),
      {"quantised", "full precision"});
  expect_parts(refusal_of_teacher(checkpoint::test::packed_2b4t()), {"packed ternary digits"});
  HfModel m = llama_model();
  m.tensors.erase("model.norm.weight");
  expect_parts(refusal_of_teacher(m), {"model.norm.weight", "missing"});
}

// The sentence with which a run refuses this teacher.
std::string refusal_of_pair(const HfModel& student, const HfModel& teacher,
                            std::vector<std::string> keys = {}) {
  const TempFolder temp, other;
  teacher.write(other.path());
  keys.push_back("distil.teacher=" + other.path().string());
  const TrainConfig config = started(student, temp, std::move(keys));
  return refusal([&] { Objective(config, torch::kFloat32); });
}

TEST(Teacher, MustFitItsStudent) {
  EXPECT_EQ(refusal_of_pair(llama_model(), qwen3_model(), {"distil.attention=1.0"}), "");
  expect_parts(refusal_of_pair(llama_model(), with_room_for_words(llama_model())),
               {"teacher of 300", "vocabulary of 6"});
  for (const char* layer : {"2", "-3", "1000"}) {
    const std::string key = std::string("distil.layer=") + layer;
    expect_parts(refusal_of_pair(llama_model(), llama_model(), {key, "distil.attention=1.0"}),
                 {std::string("distil.layer of ") + layer, "student has 2 layers"});
  }
  HfModel deep = llama_model();
  deep.config["num_hidden_layers"] = 3;
  for (const auto& [name, tensor] : llama_model().tensors) {
    if (!name.starts_with("model.layers.1.")) continue;
    deep.tensors["model.layers.2." + name.substr(std::strlen("model.layers.1."))] = tensor;
  }
  expect_parts(refusal_of_pair(deep, llama_model(), {"distil.layer=2", "distil.attention=1.0"}),
               {"distil.layer of 2", "teacher has 2 layers"});
}

TEST(Teacher, RelationHeadsMustDivideTheStatesOfBoth) {
  // q has 8 columns, k and v 4.
  EXPECT_EQ(refusal_of_pair(llama_model(), llama_model(),
                            {"distil.relation_heads=4", "distil.attention=1.0"}),
            "");
  const std::vector<std::pair<std::string, const char*>> wrong{{"3", "8 columns"},
                                                               {"8", "4 columns"}};
  for (const auto& [heads, states] : wrong) {
    const std::string key = "distil.relation_heads=" + heads;
    expect_parts(refusal_of_pair(llama_model(), llama_model(), {key, "distil.attention=1.0"}),
                 {heads + " relation heads", states});
    // What is not used need not fit.
    EXPECT_EQ(refusal_of_pair(llama_model(), llama_model(), {key}), "");
  }
}

}  // namespace
}  // namespace tern::train
