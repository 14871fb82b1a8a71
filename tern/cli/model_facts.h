// What a model is, in numbers, for those who show it: `tern serve`'s page.
#pragma once

#include <functional>

#include "tern/base/json.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"

namespace tern::cli {

// Architecture, sizes, storage types, and the share of -1, 0 and +1 in every layer, which reads all
// the weights. `pool` is nobody else's meanwhile.
// Null where `keep_going`, which is asked before each layer, says no.
Json model_facts(const checkpoint::Checkpoint& model, ThreadPool& pool,
                 const std::function<bool()>& keep_going);

}  // namespace tern::cli
