/* Writes on from a text with a model. Usage: embed MODEL TEXT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tern.h>

static void need(tern_status status) {
  if (status == TERN_OK) return;
  fprintf(stderr, "embed: %s\n", tern_last_error());
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: embed MODEL TEXT\n"), 2;
  tern_model* model;
  tern_session* session;
  tern_sampler* sampler;
  need(tern_load(argv[1], NULL, &model));
  need(tern_session_new(model, NULL, &session));
  need(tern_sampler_new(NULL, &sampler)); /* Always the most likely token. */

  tern_token tokens[256];
  size_t count;
  need(tern_tokenize(model, argv[2], strlen(argv[2]), TERN_AS_PROMPT, tokens, 256, &count));
  float* logits = malloc(tern_vocab_size(model) * sizeof *logits);
  for (int made = 0; made < 24; ++made) {
    need(tern_forward(session, tokens, count, 1, logits));
    need(tern_sample(sampler, logits, tern_vocab_size(model), tokens));
    if (tern_is_end(model, tokens[0])) break;
    char text[256];
    size_t length;
    need(tern_piece(model, tokens[0], text, sizeof text, &length));
    fwrite(text, 1, length, stdout);
    count = 1;
  }
  putchar('\n');
  free(logits);
  tern_sampler_free(sampler);
  tern_session_free(session);
  tern_model_free(model);
  return 0;
}
