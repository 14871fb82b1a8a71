// What `tern bench` found, as Markdown, JSON or CSV on stdout.
#pragma once

#include <span>
#include <string>

#include "tern/cli/bench_run.h"

namespace tern::cli {

// `name`: of the model, as the user gave it; `loads`: one for each layout. `output`: "md", "json"
// or "csv" (rows only).
void print_bench(const std::string& output, const std::string& name, const model::Model& model,
                 std::span<const BenchLoad> loads, const BenchResult& result);

}  // namespace tern::cli
