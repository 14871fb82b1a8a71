// `tern score`: the log-probability of every token given those before it.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/engine/sampler.h"
#include "tern/formats/safetensors.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/tokenizer/prompt_tokens.h"

namespace tern::cli {
namespace {

struct Request {
  std::vector<std::uint32_t> tokens;
  std::size_t top = 0;
  std::string where;  // In front of an error: "requests.jsonl line 3", or empty.
};

struct Ranked {
  std::uint32_t token;
  double logprob;
};

struct Score {
  std::vector<double> logprobs;          // Of tokens[1 ...].
  std::vector<std::vector<Ranked>> top;  // The best at each of these places.
};

// Collects a forward pass into one safetensors file.
class FileTrace : public model::Trace {
 public:
  void rows(const std::string& name, DType type, const void* data, std::size_t rows,
            std::size_t cols, std::size_t stride) override {
    Tensor& tensor = tensors_[name];
    tensor.type = type;
    tensor.rows += rows;
    tensor.cols = cols;
    const std::size_t size = type == DType::kI8 ? 1 : 4;
    const auto* bytes = static_cast<const std::byte*>(data);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::byte* row = bytes + r * stride * size;
      tensor.bytes.insert(tensor.bytes.end(), row, row + cols * size);
    }
  }

  void write(const std::string& path) const {
    formats::SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors_) {
      std::vector<std::uint64_t> shape{tensor.rows, tensor.cols};
      if (name == "tokens") shape = {tensor.rows};
      writer.add_tensor(name, tensor.type, shape, [&tensor] { return tensor.bytes; });
    }
    writer.write(path);
  }

 private:
  struct Tensor {
    DType type = DType::kF32;
    std::size_t rows = 0, cols = 0;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Tensor> tensors_;
};

class Scorer {
 public:
  Scorer(const LoadedModel& loaded, std::size_t batch, kernels::KvType k, kernels::KvType v)
      : model_(*loaded.model),
        pool_(*loaded.pool),
        cache_(model_.config(), model_.context(), k, v),
        forward_(model_, pool_, std::min(batch, model_.context())) {}

  Score score(const Request& request, FileTrace* trace) {
    model::Session session(cache_);
    Score result;
    const std::span<const std::uint32_t> tokens = request.tokens;
    if (trace != nullptr) {
      trace->rows("tokens", DType::kI32, tokens.data(), tokens.size(), 1, 1);
    }
    for (std::size_t begin = 0; begin < tokens.size(); begin += forward_.max_tokens()) {
      const std::size_t count = std::min(forward_.max_tokens(), tokens.size() - begin);
      const auto hidden = forward_.run({{&session, tokens.subspan(begin, count), 0}}, trace);
      rank(hidden, tokens, begin, request.top, result, trace);
    }
    return result;
  }

 private:
  // Adds what the hidden states of tokens[begin ...] say of the tokens after them.
  void rank(std::span<const float> hidden, std::span<const std::uint32_t> tokens, std::size_t begin,
            std::size_t top, Score& result, FileTrace* trace) {
    constexpr std::size_t kRows = 16;  // Rows of logits at a time.
    const std::size_t width = model_.config().hidden;
    const std::size_t vocab = model_.config().vocab;
    const std::size_t count = hidden.size() / width;
    const std::size_t known = tokens.size() - 1;  // Tokens that have one before them.
    result.logprobs.resize(known);
    result.top.resize(known);
    for (std::size_t row = 0; row < count; row += kRows) {
      const std::size_t rows = std::min(kRows, count - row);
      logits_.resize(rows * vocab);
      model::Head(model_).logits(hidden.subspan(row * width, rows * width), logits_, pool_);
      if (trace != nullptr) {
        trace->rows("logits", DType::kF32, logits_.data(), rows, vocab, vocab);
      }
      pool_.parallel_for(rows, 1, [&](std::size_t first, std::size_t end) {
        std::vector<double> logprobs(vocab);
        for (std::size_t r = first; r < end; ++r) {
          const std::size_t at = begin + row + r;
          if (at >= known) continue;
          engine::log_softmax(std::span(logits_).subspan(r * vocab, vocab), logprobs);
          result.logprobs[at] = logprobs[tokens[at + 1]];
          result.top[at] = best(logprobs, top);
        }
      });
    }
  }

  static std::vector<Ranked> best(const std::vector<double>& logprobs, std::size_t top) {
    std::vector<std::uint32_t> ids(logprobs.size());
    std::iota(ids.begin(), ids.end(), 0u);
    const auto middle = ids.begin() + static_cast<std::ptrdiff_t>(std::min(top, ids.size()));
    std::partial_sort(ids.begin(), middle, ids.end(), [&](std::uint32_t a, std::uint32_t b) {
      return logprobs[a] != logprobs[b] ? logprobs[a] > logprobs[b] : a < b;
    });
    std::vector<Ranked> ranked;
    for (auto it = ids.begin(); it != middle; ++it) ranked.push_back({*it, logprobs[*it]});
    return ranked;
  }

  const model::Model& model_;
  ThreadPool& pool_;
  model::KvPool cache_;
  model::Forward forward_;
  std::vector<float> logits_;
};

Json piece_json(const std::optional<tokenizer::Tokenizer>& tokenizer, std::uint32_t id) {
  if (!tokenizer || id >= tokenizer->vocab_size()) return nullptr;
  return tokenizer->piece(id, true);
}

Json score_json(const Request& request, const Score& score,
                const std::optional<tokenizer::Tokenizer>& tokenizer) {
  Json pieces = Json::array();
  for (const std::uint32_t id : request.tokens) pieces.push_back(piece_json(tokenizer, id));
  Json logprobs = Json::array({nullptr});
  for (const double p : score.logprobs) logprobs.push_back(p);
  Json top = Json::array({Json::array()});
  for (const auto& place : score.top) {
    Json ranked = Json::array();
    for (const Ranked& r : place) {
      ranked.push_back(
          {{"token", r.token}, {"piece", piece_json(tokenizer, r.token)}, {"logprob", r.logprob}});
    }
    top.push_back(std::move(ranked));
  }
  return {{"tokens", request.tokens},
          {"pieces", std::move(pieces)},
          {"logprobs", std::move(logprobs)},
          {"top", std::move(top)}};
}

void print_score(const Request& request, const Score& score,
                 const std::optional<tokenizer::Tokenizer>& tokenizer) {
  const auto shown = [&](std::uint32_t id) {
    const Json piece = piece_json(tokenizer, id);
    return piece.is_null() ? std::string("-") : dump_json(piece);
  };
  for (std::size_t i = 0; i < request.tokens.size(); ++i) {
    const std::uint32_t id = request.tokens[i];
    const std::string logprob = i == 0 ? "" : fmt::format("{:.4f}", score.logprobs[i - 1]);
    fmt::print("{:>10} {:>8}  {}", logprob, id, shown(id));
    if (i > 0) {
      for (const Ranked& r : score.top[i - 1]) fmt::print("  {} {:.3f}", shown(r.token), r.logprob);
    }
    fmt::print("\n");
  }
  const double sum = std::accumulate(score.logprobs.begin(), score.logprobs.end(), 0.0);
  const auto count = static_cast<double>(score.logprobs.size());
  if (count > 0) {
    fmt::print("sum {:.4f} over {} tokens, mean {:.4f} nats\n", sum, score.logprobs.size(),
               sum / count);
  }
}

// One request a line: {"prompt": "..."} or {"tokens": [...]}, and "top" where wanted.
std::vector<Request> read_requests(const std::string& path, std::size_t top,
                                   const LoadedModel& loaded) {
  std::vector<Request> requests;
  std::istringstream lines(read_text_file(path, std::uint64_t{1} << 32));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string where = fmt::format("{} line {}", path, ++number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json json = parse_json(line, where);
    Request request{{}, json_uint(json, "top", where).value_or(top), where};
    if (const auto prompt = json_string(json, "prompt", where)) {
      request.tokens = tokenizer::prompt_tokens(loaded.need_tokenizer(), *prompt);
    } else if (json.contains("tokens") && json["tokens"].is_array() && !json["tokens"].empty()) {
      for (const Json& id : json["tokens"]) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() > UINT32_MAX) {
          throw Error(ErrorCode::kCorruptFile,
                      where + ": token id " + dump_json(id) + " found, expected a whole number");
        }
        request.tokens.push_back(id.get<std::uint32_t>());
      }
    } else {
      throw Error(ErrorCode::kCorruptFile,
                  where + ": neither \"prompt\" (text) nor \"tokens\" (ids) found");
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

struct ScoreOptions {
  ModelOptions model;
  std::optional<std::string> prompt, file, jsonl, trace;
  std::vector<std::uint32_t> tokens;
  std::size_t top = 0, batch = 512;
  std::optional<std::size_t> context;
  std::string cache_k = "f32", cache_v = "f32";
  bool json = false;
};

void add_options(CLI::App& app, ScoreOptions& o) {
  add_model_options(app, o.model);
  add_lora_option(app, o.model);
  auto* prompt = app.add_option("-p,--prompt", o.prompt, "the text; BOS as the model's files say");
  auto* file = app.add_option("-f,--file", o.file, "a file with the text")->excludes(prompt);
  auto* tokens = app.add_option("--tokens", o.tokens, "token ids, as 1,2,3; nothing is prepended")
                     ->delimiter(',')
                     ->excludes(prompt)
                     ->excludes(file);
  app.add_option("--jsonl", o.jsonl,
                 "a file of requests, one JSON object a line with \"prompt\" or \"tokens\" (and "
                 "\"top\"); answers one JSON object a line")
      ->excludes(prompt)
      ->excludes(file)
      ->excludes(tokens);
  app.add_option("--top", o.top, "also list the K best at each place")
      ->type_name("K")
      ->check(CLI::Range(0LL, 1LL << 32));
  app.add_option("--trace", o.trace, "write every operation's output to this safetensors file");
  app.add_option("-b,--batch-size", o.batch, "tokens per forward pass")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("-c,--ctx-size", o.context, "refuse texts longer than this")
      ->check(CLI::Range(0LL, 1LL << 32));
  app.add_option("--cache-type-k", o.cache_k, "KV cache of keys: f32, f16, int8 or int4 (-ctk)")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  app.add_option("--cache-type-v", o.cache_v, "KV cache of values, the same types (-ctv)")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  app.add_flag("--json", o.json, "print {\"tokens\",\"pieces\",\"logprobs\",\"top\"}");
}

std::vector<Request> gather(ScoreOptions& o, const LoadedModel& loaded) {
  if (o.jsonl) return read_requests(*o.jsonl, o.top, loaded);
  if (!o.tokens.empty()) return {{o.tokens, o.top, ""}};
  if (o.file) o.prompt = read_text_file(*o.file);
  return {{tokenizer::prompt_tokens(loaded.need_tokenizer(), *o.prompt), o.top, ""}};
}

}  // namespace

int run_score(std::span<const std::string> args) {
  ScoreOptions o;
  CLI::App app("The log-probability of every token given those before it (natural logarithm).",
               "tern score");
  add_options(app, o);
  parse(app, args);
  if (!o.prompt && !o.file && o.tokens.empty() && !o.jsonl) {
    say("nothing to score was given, expected -p TEXT, -f FILE, --tokens 1,2,3 or --jsonl FILE");
    return 2;
  }
  if (o.trace && o.jsonl) {
    say("--trace writes one text's file and cannot go with --jsonl");
    return 2;
  }

  LoadedModel loaded = open_model(o.model, o.tokens.empty());
  const std::vector<Request> requests = gather(o, loaded);
  const std::string& name = loaded.checkpoint->name();
  std::size_t limit = loaded.checkpoint->config().context;
  if (o.context && *o.context != 0) limit = std::min(limit, *o.context);
  std::size_t longest = 1;
  for (const Request& r : requests) {
    longest = std::max(longest, r.tokens.size());
    if (r.tokens.size() <= limit) continue;
    throw Error(ErrorCode::kLimit,
                fmt::format("{}: a text of {} tokens found, expected at most the context of {}",
                            r.where.empty() ? name : r.where, r.tokens.size(), limit));
  }
  loaded.load_weights(longest);
  Scorer scorer(loaded, o.batch, kv_type(o.cache_k), kv_type(o.cache_v));
  FileTrace trace;
  for (const Request& request : requests) {
    try {
      const Score score = scorer.score(request, o.trace ? &trace : nullptr);
      if (o.json || o.jsonl) {
        fmt::print("{}\n", dump_json(score_json(request, score, loaded.tokenizer)));
      } else {
        print_score(request, score, loaded.tokenizer);
      }
    } catch (const Error& e) {
      throw with_context(request.where.empty() ? name : request.where, e);
    }
  }
  if (o.trace) trace.write(*o.trace);
  return 0;
}

}  // namespace tern::cli
