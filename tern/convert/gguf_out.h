// A checkpoint as GGUF. Internal to tern/convert.
#pragma once

#include "tern/convert/convert.h"

namespace tern::convert {

void write_gguf(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
                const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
                const Progress& progress);

}  // namespace tern::convert
