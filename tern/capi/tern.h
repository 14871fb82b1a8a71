/* tern from C, and from every language that can call C: load a model, turn text into tokens, run
 * them, pick the next one.
 *
 * Contract
 * - A function that can fail returns a tern_status; on anything but TERN_OK its results are left
 *   unset, and tern_last_error() holds one sentence that names the thing, what was found and what
 *   was expected. No function prints, exits, or throws through this boundary.
 * - Option structs begin with their size, so that they can grow: zero the whole struct, set `size`
 *   to sizeof, and then what you want to change. Zero is always the default. A null pointer stands
 *   for a struct of defaults.
 * - Every object is freed by its own tern_*_free, which takes null too, in any order: a session
 *   keeps its model alive.
 * - Threads: a tern_model may be used by many threads at once. A tern_session and a tern_sampler
 *   belong to one thread at a time. Forward passes of sessions of one model take turns; each uses
 *   all of the model's threads.
 * - Text is UTF-8; a `const char*` without a length ends with a zero byte.
 * - Within one TERN_API_VERSION functions and fields are only added. */
#ifndef TERN_H
#define TERN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TERN_API __attribute__((visibility("default")))
#else
#define TERN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_API_VERSION 1

typedef enum tern_status {
  TERN_OK = 0,
  TERN_BAD_ARGUMENT = 1, /* A value of this call is wrong. */
  TERN_IO = 2,           /* The operating system said no. */
  TERN_CORRUPT_FILE = 3, /* A file contradicts itself or its format. */
  TERN_UNSUPPORTED = 4,  /* Understood, but not something that tern can do (here). */
  TERN_LIMIT = 5,        /* Does not fit: the context, a buffer, a token id, memory. */
  TERN_INTERNAL = 6      /* A fault of tern's own; please report it. */
} tern_status;

typedef uint32_t tern_token;

typedef struct tern_model tern_model;     /* Weights and tokenizer; never changes once loaded. */
typedef struct tern_session tern_session; /* One text: the tokens so far, as a KV cache. */
typedef struct tern_sampler tern_sampler; /* Chooses tokens: settings, random state, what it saw. */

/* "tern 0.1.0 (commit ..., compiler)". Valid for ever. */
TERN_API const char* tern_version(void);
/* TERN_API_VERSION of the library that runs. */
TERN_API uint32_t tern_api_version(void);
/* What the last failed call of this thread said; "" if none failed. Valid until the next one. */
TERN_API const char* tern_last_error(void);

/* -- Models -- */

typedef struct tern_load_options {
  size_t size;               /* sizeof(tern_load_options) */
  size_t threads;            /* 0: the CPUs that this process may run on. */
  size_t context;            /* Most positions of a session; 0: what the model was made for. */
  int without_tokenizer;     /* Not 0: do not read the tokenizer, only run tokens. */
  const char* i2s;           /* Layout of I2_S tensors, which no file tells: "x86" (null), "arm",
                                "1x4". */
  const char* pre_tokenizer; /* Forces a GGUF's pre-tokenizer, as "llama-bpe"; null: as it says. */
  /* Told sentences that a person should read although nothing failed. Called during tern_load. */
  void (*notice)(const char* sentence, void* user);
  void* user; /* Passed to notice. */
} tern_load_options;

/* Loads a .gguf file or a Hugging Face folder. */
TERN_API tern_status tern_load(const char* path, const tern_load_options* options,
                               tern_model** model);
TERN_API void tern_model_free(tern_model* model);

TERN_API size_t tern_vocab_size(const tern_model* model);   /* Logits of one position. */
TERN_API size_t tern_context_size(const tern_model* model); /* Most positions of a session. */
TERN_API int tern_has_tokenizer(const tern_model* model);
/* 1 if `token` ends a text, else 0. */
TERN_API int tern_is_end(const tern_model* model, tern_token token);

/* -- Text and tokens -- */

typedef enum tern_tokenize_flags {
  TERN_ADD_BOS = 1,    /* Begin-of-text in front, if the vocabulary has one. */
  TERN_PLAIN_TEXT = 2, /* "<|eot_id|>" in the text is text, not the special token. */
  TERN_AS_PROMPT = 4   /* Begin-of-text in front where the model's files ask for it, or where there
                          would be no token at all. What `tern run` does. */
} tern_tokenize_flags;

/* Tokens of `length` bytes of text. `*count` becomes their number; the first min(*count, capacity)
 * are written. TERN_LIMIT if capacity was too small: call again with room for *count. */
TERN_API tern_status tern_tokenize(const tern_model* model, const char* text, size_t length,
                                   unsigned flags, tern_token* tokens, size_t capacity,
                                   size_t* count);

/* Text of tokens, special ones left out. `*length` becomes its bytes; the first
 * min(*length, capacity) are written, without a zero byte. TERN_LIMIT if capacity was too small. */
TERN_API tern_status tern_detokenize(const tern_model* model, const tern_token* tokens,
                                     size_t count, char* text, size_t capacity, size_t* length);

/* The same for one token as it stands inside a text. The bytes may be part of a UTF-8 character. */
TERN_API tern_status tern_piece(const tern_model* model, tern_token token, char* text,
                                size_t capacity, size_t* length);

/* -- Running -- */

typedef enum tern_kv_type {
  TERN_KV_F16 = 0,
  TERN_KV_F32 = 1,
  TERN_KV_INT8 = 2, /* One scale per token and KV head. */
  TERN_KV_INT4 = 3
} tern_kv_type;

typedef struct tern_session_options {
  size_t size;      /* sizeof(tern_session_options) */
  size_t positions; /* Room for this many tokens; 0: the model's context. */
  int k_type;       /* tern_kv_type of the keys ... */
  int v_type;       /* ... and of the values in the cache. */
} tern_session_options;

TERN_API tern_status tern_session_new(tern_model* model, const tern_session_options* options,
                                      tern_session** session);
TERN_API void tern_session_free(tern_session* session);

/* Tokens that the session holds. */
TERN_API size_t tern_session_position(const tern_session* session);
/* Forgets all tokens from `position` on. TERN_BAD_ARGUMENT if the session is shorter. */
TERN_API tern_status tern_session_truncate(tern_session* session, size_t position);

/* Runs `count` tokens, which follow what the session holds, and writes the logits of the last
 * `wanted` of them (0 .. count), tern_vocab_size() floats each, to `logits`. The bits do not depend
 * on how a text is cut into calls. If it fails, the session is as it was before. */
TERN_API tern_status tern_forward(tern_session* session, const tern_token* tokens, size_t count,
                                  size_t wanted, float* logits);

/* -- Choosing -- */

/* All zero: the most likely token, always. */
typedef struct tern_sampler_options {
  size_t size;           /* sizeof(tern_sampler_options) */
  double temperature;    /* 0: the most likely token, without a draw. */
  size_t top_k;          /* 0: off. */
  double top_p;          /* 0 or 1: off. */
  double min_p;          /* 0: off. */
  double typical_p;      /* 0 or 1: off. */
  double repeat_penalty; /* 0 or 1: off. */
  size_t repeat_last_n;  /* How many of the last tokens are penalised; 0: 64. */
  uint64_t seed;         /* The same seed and logits give the same tokens on every machine. */
} tern_sampler_options;

TERN_API tern_status tern_sampler_new(const tern_sampler_options* options, tern_sampler** sampler);
TERN_API void tern_sampler_free(tern_sampler* sampler);

/* Tells the sampler of a token of the prompt; the repeat penalty looks at it. */
TERN_API tern_status tern_sampler_accept(tern_sampler* sampler, tern_token token);
/* Chooses from the `vocab` logits of one position, and accepts what it chose. */
TERN_API tern_status tern_sample(tern_sampler* sampler, const float* logits, size_t vocab,
                                 tern_token* token);

#ifdef __cplusplus
}
#endif
#endif
