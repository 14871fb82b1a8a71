/* The header as a C compiler sees it; capi_test.cpp calls these. */
#include <string.h>

#include "tern/capi/tern.h"

tern_status load_from_c(const char* path, tern_model** model) {
  tern_load_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.threads = 2;
  return tern_load(path, &options, model);
}

tern_status greedy_from_c(tern_sampler** sampler) {
  tern_sampler_options options = {0};
  options.size = sizeof options;
  return tern_sampler_new(&options, sampler);
}
