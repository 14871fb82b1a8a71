// A checkpoint as a Hugging Face folder. Internal to tern/convert.
#pragma once

#include "tern/convert/convert.h"

namespace tern::convert {

void write_hf(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
              const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
              const Progress& progress);

}  // namespace tern::convert
