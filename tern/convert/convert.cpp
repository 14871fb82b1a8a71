// Which way out.
#include "tern/convert/convert.h"

#include "tern/base/error.h"
#include "tern/convert/gguf_out.h"
#include "tern/convert/hf_out.h"

namespace tern::convert {

void convert(const checkpoint::Checkpoint& in, const std::filesystem::path& out,
             const ConvertOptions& options, ThreadPool& pool, const Notice& notice,
             const Progress& progress) {
  std::error_code ignored;  // A path that does not exist is no file to be overwritten.
  if (std::filesystem::equivalent(in.name(), out, ignored)) {
    throw Error(ErrorCode::kBadArgument,
                out.string() + ": is the model to be read, expected another name to write to");
  }
  if (out.extension() == ".gguf") {
    if (options.linear_class) {
      throw Error(
          ErrorCode::kBadArgument,
          out.string() + ": a linear class was given, which only a Hugging Face folder has");
    }
    write_gguf(in, out, options, pool, notice, progress);
  } else {
    if (options.type || options.embedding_type) {
      throw Error(ErrorCode::kBadArgument,
                  out.string() +
                      ": a storage type was given, but a Hugging Face folder has one form only; "
                      "expected a name that ends in .gguf");
    }
    write_hf(in, out, options, pool, notice, progress);
  }
}

}  // namespace tern::convert
