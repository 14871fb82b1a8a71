// The C interface over model/ and engine/: opaque objects, status codes, no exception let through.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/thread_pool.h"
#include "tern/base/version.h"
#include "tern/capi/tern.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/engine/sampler.h"
#include "tern/kernels/dispatch.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/kv_pool.h"
#include "tern/model/model.h"
#include "tern/tokenizer/prompt_tokens.h"
#include "tern/tokenizer/tokenizer.h"

namespace {

using tern::Error;
using tern::ErrorCode;

constexpr std::size_t kBatchTokens = 256;  // Of one forward pass; longer inputs are cut.

// What sessions share and keep alive.
struct Loaded {
  Loaded(const std::filesystem::path& path, const tern::checkpoint::OpenOptions& options,
         bool with_tokenizer, std::size_t context, std::size_t threads)
      : pool(threads),
        model(tern::checkpoint::open_checkpoint(path, options, with_tokenizer),
              tern::kernels::table_from_environment(), context, pool),
        forward(model, pool, std::min(kBatchTokens, model.context())),
        head(model) {
    if (with_tokenizer && model.checkpoint().tokenizer()) {
      tokenizer.emplace(tern::checkpoint::make_tokenizer(*model.checkpoint().tokenizer(),
                                                         model.checkpoint().name()));
    }
  }

  std::size_t vocab() const noexcept { return model.config().vocab; }
  const tern::tokenizer::Tokenizer& text() const {
    if (!tokenizer) {
      throw Error(ErrorCode::kUnsupported, model.checkpoint().name() +
                                               ": found no tokenizer, expected one to turn text "
                                               "into tokens and back");
    }
    return *tokenizer;
  }

  tern::ThreadPool pool;
  tern::model::Model model;
  std::mutex turn;  // Guards pool and forward.
  tern::model::Forward forward;
  tern::model::Head head;
  std::optional<tern::tokenizer::Tokenizer> tokenizer;
};

thread_local std::string last_error;

tern_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadArgument:
      return TERN_BAD_ARGUMENT;
    case ErrorCode::kIo:
      return TERN_IO;
    case ErrorCode::kCorruptFile:
      return TERN_CORRUPT_FILE;
    case ErrorCode::kUnsupported:
      return TERN_UNSUPPORTED;
    case ErrorCode::kLimit:
      return TERN_LIMIT;
  }
  return TERN_INTERNAL;
}

tern_status fail(tern_status status, const char* sentence) noexcept {
  try {
    last_error = sentence;
  } catch (...) {
    last_error.clear();  // No memory even for the sentence: the status has to do.
  }
  return status;
}

// Runs one call of the interface and turns what it throws into a status and a sentence.
template <typename Call>
tern_status guarded(Call&& call) noexcept {
  try {
    call();
    return TERN_OK;
  } catch (const Error& e) {
    return fail(status_of(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return fail(TERN_LIMIT, "memory: found too little, expected enough for this call");
  } catch (const std::exception& e) {
    return fail(TERN_INTERNAL, e.what());
  } catch (...) {
    return fail(TERN_INTERNAL, "an unknown exception");
  }
}

void require(bool holds, const char* sentence) {
  if (!holds) throw Error(ErrorCode::kBadArgument, sentence);
}

// The caller's options in today's struct: a caller built against an older, shorter one gets zeros
// for what it does not know. A longer one may only have zeros there, which mean the default.
template <typename Options>
Options read_options(const Options* given, const char* name) {
  Options options{};
  if (given == nullptr) return options;
  const std::size_t size = given->size;
  const auto wrong = [&](const char* expected) {
    throw Error(ErrorCode::kBadArgument, std::string(name) + ": found size " +
                                             std::to_string(size) + ", expected " + expected);
  };
  if (size < sizeof(std::size_t)) wrong("sizeof the struct");
  if (size > 4096) wrong("sizeof the struct, 4096 at most");
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(Options); i < size; ++i) {
    if (bytes[i] != 0) wrong("no option that this version of tern does not know");
  }
  std::memcpy(&options, bytes, std::min(size, sizeof(Options)));
  return options;
}

// Copies a result to the caller's buffer; `*count` tells its true length.
template <typename T>
void hand_out(std::span<const T> result, T* buffer, std::size_t capacity, std::size_t* count) {
  require(count != nullptr, "the pointer for the count: found null, expected an address");
  require(buffer != nullptr || capacity == 0, "the buffer: found null, expected an address");
  *count = result.size();
  std::copy_n(result.begin(), std::min(capacity, result.size()), buffer);
  if (capacity < result.size()) {
    throw Error(ErrorCode::kLimit, "the buffer: found room for " + std::to_string(capacity) +
                                       ", expected " + std::to_string(result.size()));
  }
}

tern::formats::I2SLayout i2s_layout(const char* name) {
  const std::string text = name == nullptr ? "x86" : name;
  if (text == "x86") return tern::formats::I2SLayout::kX86;
  if (text == "arm") return tern::formats::I2SLayout::kArm;
  if (text == "1x4") return tern::formats::I2SLayout::k1x4;
  throw Error(ErrorCode::kBadArgument,
              "i2s: found '" + text + "', expected \"x86\", \"arm\" or \"1x4\"");
}

tern::kernels::KvType kv_type(int type) {
  switch (type) {
    case TERN_KV_F16:
      return tern::kernels::KvType::kF16;
    case TERN_KV_F32:
      return tern::kernels::KvType::kF32;
    case TERN_KV_INT8:
      return tern::kernels::KvType::kInt8;
    case TERN_KV_INT4:
      return tern::kernels::KvType::kInt4;
    default:
      throw Error(ErrorCode::kBadArgument,
                  "KV type: found " + std::to_string(type) + ", expected a value of tern_kv_type");
  }
}

// Of an option where zero means off and the engine's value for that is 1.
double one_if_zero(double value) { return value == 0 ? 1.0 : value; }

}  // namespace

struct tern_model {
  std::shared_ptr<Loaded> loaded;
};

struct tern_session {
  tern_session(std::shared_ptr<Loaded> shared, std::size_t room, tern::kernels::KvType k,
               tern::kernels::KvType v)
      : loaded(std::move(shared)),
        positions(room),
        cache(loaded->model.config(), room, k, v),
        session(cache) {}

  std::shared_ptr<Loaded> loaded;
  std::size_t positions;
  tern::model::KvPool cache;
  tern::model::Session session;
};

struct tern_sampler {
  tern::engine::Sampler sampler;
};

const char* tern_version(void) {
  static const std::string text = tern::version_text();
  return text.c_str();
}

uint32_t tern_api_version(void) { return TERN_API_VERSION; }

const char* tern_last_error(void) { return last_error.c_str(); }

tern_status tern_load(const char* path, const tern_load_options* options, tern_model** model) {
  return guarded([&] {
    require(path != nullptr, "path: found null, expected a file or folder name");
    require(model != nullptr, "the pointer for the model: found null, expected an address");
    const auto given = read_options(options, "tern_load_options");
    tern::checkpoint::OpenOptions open;
    open.i2s = i2s_layout(given.i2s);
    if (given.pre_tokenizer != nullptr) {
      open.pre = tern::checkpoint::pre_tokenizer_by_name(given.pre_tokenizer);
      if (!open.pre) {
        throw Error(ErrorCode::kBadArgument, std::string("pre_tokenizer: found '") +
                                                 given.pre_tokenizer + "', expected one of " +
                                                 tern::checkpoint::pre_tokenizer_names());
      }
    }
    if (given.notice != nullptr) {
      open.notice = [&](std::string_view sentence) {
        given.notice(std::string(sentence).c_str(), given.user);
      };
    }
    const std::size_t threads = given.threads != 0 ? given.threads : tern::default_threads();
    auto loaded =
        std::make_shared<Loaded>(path, open, given.without_tokenizer == 0, given.context, threads);
    *model = new tern_model{std::move(loaded)};
  });
}

void tern_model_free(tern_model* model) { delete model; }

size_t tern_vocab_size(const tern_model* model) { return model->loaded->vocab(); }
size_t tern_context_size(const tern_model* model) { return model->loaded->model.context(); }
int tern_has_tokenizer(const tern_model* model) { return model->loaded->tokenizer ? 1 : 0; }
int tern_is_end(const tern_model* model, tern_token token) {
  return model->loaded->tokenizer && model->loaded->tokenizer->is_end(token) ? 1 : 0;
}

tern_status tern_tokenize(const tern_model* model, const char* text, size_t length, unsigned flags,
                          tern_token* tokens, size_t capacity, size_t* count) {
  return guarded([&] {
    require(model != nullptr, "model: found null, expected a loaded model");
    require(text != nullptr || length == 0, "text: found null, expected an address");
    require((flags & ~unsigned{TERN_ADD_BOS | TERN_PLAIN_TEXT | TERN_AS_PROMPT}) == 0,
            "flags: found an unknown bit, expected those of tern_tokenize_flags");
    const auto& tokenizer = model->loaded->text();
    const std::string_view bytes(length == 0 ? "" : text, length);
    const bool special = (flags & TERN_PLAIN_TEXT) == 0;
    const auto ids = (flags & TERN_ADD_BOS) != 0 ? tokenizer.encode_with_bos(bytes, special)
                     : (flags & TERN_AS_PROMPT) != 0
                         ? tern::tokenizer::prompt_tokens(tokenizer, bytes, special)
                         : tokenizer.encode(bytes, special);
    hand_out<tern_token>(ids, tokens, capacity, count);
  });
}

tern_status tern_detokenize(const tern_model* model, const tern_token* tokens, size_t count,
                            char* text, size_t capacity, size_t* length) {
  return guarded([&] {
    require(model != nullptr, "model: found null, expected a loaded model");
    require(tokens != nullptr || count == 0, "tokens: found null, expected an address");
    const std::string bytes = model->loaded->text().decode({tokens, count});
    hand_out<char>(bytes, text, capacity, length);
  });
}

tern_status tern_piece(const tern_model* model, tern_token token, char* text, size_t capacity,
                       size_t* length) {
  return guarded([&] {
    require(model != nullptr, "model: found null, expected a loaded model");
    const std::string bytes = model->loaded->text().piece(token);
    hand_out<char>(bytes, text, capacity, length);
  });
}

tern_status tern_session_new(tern_model* model, const tern_session_options* options,
                             tern_session** session) {
  return guarded([&] {
    require(model != nullptr, "model: found null, expected a loaded model");
    require(session != nullptr, "the pointer for the session: found null, expected an address");
    const auto given = read_options(options, "tern_session_options");
    const std::size_t most = model->loaded->model.context();
    const std::size_t positions = given.positions != 0 ? given.positions : most;
    if (positions > most) {
      throw Error(ErrorCode::kLimit, "positions: found " + std::to_string(positions) +
                                         ", expected at most the model's context, " +
                                         std::to_string(most));
    }
    *session =
        new tern_session(model->loaded, positions, kv_type(given.k_type), kv_type(given.v_type));
  });
}

void tern_session_free(tern_session* session) { delete session; }

size_t tern_session_position(const tern_session* session) { return session->session.position(); }

tern_status tern_session_truncate(tern_session* session, size_t position) {
  return guarded([&] {
    require(session != nullptr, "session: found null, expected a session");
    if (position > session->session.position()) {
      throw Error(ErrorCode::kBadArgument,
                  "position: found " + std::to_string(position) + ", expected at most " +
                      std::to_string(session->session.position()) + ", what the session holds");
    }
    session->session.truncate(position);
  });
}

tern_status tern_forward(tern_session* session, const tern_token* tokens, size_t count,
                         size_t wanted, float* logits) {
  return guarded([&] {
    require(session != nullptr, "session: found null, expected a session");
    require(tokens != nullptr && count > 0, "tokens: found none, expected at least one");
    require(wanted <= count, "wanted: found more logits than tokens, expected at most `count`");
    require(wanted == 0 || logits != nullptr, "logits: found null, expected an address");
    Loaded& loaded = *session->loaded;
    const std::size_t start = session->session.position();
    if (count > session->positions - start) {
      throw Error(ErrorCode::kLimit, "tokens: found " + std::to_string(count) + " after " +
                                         std::to_string(start) + ", expected at most " +
                                         std::to_string(session->positions) + " in this session");
    }

    const std::lock_guard turn(loaded.turn);
    try {
      std::size_t first_wanted = count - wanted;
      for (std::size_t done = 0; done < count;) {
        const std::size_t n = std::min(count - done, loaded.forward.max_tokens());
        const std::size_t from = std::clamp(first_wanted, done, done + n) - done;
        const auto hidden = loaded.forward.run({{&session->session, {tokens + done, n}, from}});
        if (from < n) {
          const std::size_t floats = (n - from) * loaded.vocab();
          loaded.head.logits(hidden, {logits, floats}, loaded.pool);
          logits += floats;
        }
        done += n;
      }
    } catch (...) {
      session->session.truncate(start);
      throw;
    }
  });
}

tern_status tern_sampler_new(const tern_sampler_options* options, tern_sampler** sampler) {
  return guarded([&] {
    require(sampler != nullptr, "the pointer for the sampler: found null, expected an address");
    const auto given = read_options(options, "tern_sampler_options");
    tern::engine::SamplerParams params;
    params.temperature = given.temperature;
    params.top_k = given.top_k;
    params.top_p = one_if_zero(given.top_p);
    params.min_p = given.min_p;
    params.typical_p = one_if_zero(given.typical_p);
    params.repeat_penalty = one_if_zero(given.repeat_penalty);
    if (given.repeat_last_n != 0) params.repeat_last_n = given.repeat_last_n;
    params.seed = given.seed;
    tern::engine::validate(params);
    *sampler = new tern_sampler{tern::engine::Sampler(params)};
  });
}

void tern_sampler_free(tern_sampler* sampler) { delete sampler; }

tern_status tern_sampler_accept(tern_sampler* sampler, tern_token token) {
  return guarded([&] {
    require(sampler != nullptr, "sampler: found null, expected a sampler");
    sampler->sampler.accept(token);
  });
}

tern_status tern_sample(tern_sampler* sampler, const float* logits, size_t vocab,
                        tern_token* token) {
  return guarded([&] {
    require(sampler != nullptr, "sampler: found null, expected a sampler");
    require(logits != nullptr && vocab > 0, "logits: found none, expected one per token id");
    require(token != nullptr, "the pointer for the token: found null, expected an address");
    const std::uint32_t chosen = sampler->sampler.sample({logits, vocab});
    sampler->sampler.accept(chosen);
    *token = chosen;
  });
}
