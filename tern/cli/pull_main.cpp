// The program `tern-pull`: a model of the Hugging Face Hub into the cache.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/size_text.h"
#include "tern/base/system.h"
#include "tern/base/version.h"
#include "tern/cli/console.h"
#include "tern/hub/cache.h"
#include "tern/hub/pull.h"

namespace tern::cli {
namespace {

struct PullFlags {
  std::string name, revision;
  bool offline = false, json = false;
  unsigned stall_seconds = 30;
  hub::RetryOptions retry;
};

// "1.2 GiB at 34.0 MiB/s" beside the bar; redrawn ten times a second.
class Bar {
 public:
  explicit Bar(Progress progress) : progress_(std::move(progress)) {}

  void show(std::uint64_t done, std::uint64_t total) {
    const double now = monotonic_seconds();
    if (!begin_) begin_ = Point{now, done};
    const bool last = done == total;
    if (!progress_ || total == 0 || (now - drawn_ < 0.1 && !last)) return;
    drawn_ = now;
    const double seconds = std::max(now - begin_->seconds, 0.001);
    const std::uint64_t fresh = done - std::min(begin_->bytes, done);
    const auto speed = static_cast<std::uint64_t>(static_cast<double>(fresh) / seconds);
    progress_(fmt::format("{} at {}/s", size_text(done), size_text(speed)),
              static_cast<double>(done) / static_cast<double>(total));
  }

 private:
  struct Point {
    double seconds;
    std::uint64_t bytes;
  };
  Progress progress_;
  std::optional<Point> begin_;  // What was there already tells nothing of the speed.
  double drawn_ = 0;
};

void print_result(const PullFlags& flags, const hub::ModelName& name, const hub::Pulled& pulled) {
  if (flags.json) {
    fmt::print("{}\n", dump_json({{"model", flags.name},
                                  {"revision", name.revision},
                                  {"commit", pulled.commit},
                                  {"path", pulled.path.string()},
                                  {"files", pulled.files},
                                  {"bytes", pulled.bytes},
                                  {"downloaded_bytes", pulled.downloaded}}));
    return;
  }
  fmt::print("{}\n", pulled.path.string());
}

std::string endpoint() {
  const auto value = environment("HF_ENDPOINT");
  return value && !value->empty() ? *value : "https://huggingface.co";
}

// Blanks around a token, such as a line break from a file, belong to no token.
std::string token() {
  std::string value = environment("HF_TOKEN").value_or("");
  const auto begin = value.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return value.substr(begin, value.find_last_not_of(" \t\r\n") + 1 - begin);
}

hub::Pulled from_cache(const hub::ModelName& name) {
  hub::Pulled pulled;
  const auto cache = hub::cache_folder();
  pulled.path = hub::find_cached(cache, name);
  pulled.commit = hub::CachedRepository(cache, name).commit_of(name.revision).value_or("");
  return pulled;
}

hub::Pulled from_hub(const PullFlags& flags, const hub::ModelName& name) {
  hub::PullOptions options;
  options.cache = hub::cache_folder();
  options.http.endpoint = endpoint();
  options.http.token = token();
  options.http.user_agent = "tern/" + version_number();
  options.http.connect_seconds = flags.stall_seconds;
  options.http.stall_seconds = flags.stall_seconds;
  options.retry = flags.retry;
  options.notice = stderr_notice();
  Bar bar(stderr_progress());
  options.progress = [&bar](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  const hub::Pulled pulled = hub::pull(name, options);
  say(fmt::format("{}: {}, {} of it downloaded now", flags.name, size_text(pulled.bytes),
                  size_text(pulled.downloaded)));
  return pulled;
}

hub::ModelName name_of(const PullFlags& flags) {
  if (flags.name.empty()) {
    throw Error(ErrorCode::kBadArgument, "no name found, expected USER/REPO[:FILE]");
  }
  auto name = hub::parse_model_name(flags.name);
  if (!name) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("'{}' found, expected USER/REPO, USER/REPO:FILE.gguf or USER/REPO:TAG "
                            "of the Hugging Face Hub",
                            flags.name));
  }
  if (flags.revision.empty()) return *name;
  if (!hub::is_revision(flags.revision)) {
    throw Error(
        ErrorCode::kBadArgument,
        fmt::format("--revision '{}' found, expected a branch, a tag or a commit", flags.revision));
  }
  name->revision = flags.revision;
  return *name;
}

int run_download(std::span<const std::string> args) {
  CLI::App app(
      "Downloads a model of the Hugging Face Hub into its cache and prints where it is. HF_TOKEN, "
      "HF_ENDPOINT, HF_HUB_CACHE, HF_HOME and HF_HUB_OFFLINE mean what they mean elsewhere.",
      "tern pull");
  PullFlags flags;
  app.add_option("NAME,--hf-repo", flags.name,
                 "USER/REPO[@REVISION][:FILE]; FILE is a .gguf file, a part of its name such as "
                 "I2_S, or safetensors")
      ->type_name("USER/REPO[:FILE]");
  app.add_option("--revision", flags.revision, "a branch, a tag or a commit (default: main)");
  app.add_flag("--offline", flags.offline, "only look into the cache");
  app.add_flag("--json", flags.json, "one JSON object on stdout");
  app.add_option("--retries", flags.retry.retries, "tries in a row that may bring nothing")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--retry-delay", flags.retry.delay,
                 "seconds before the next try, doubled each time")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  app.add_option("--stall-timeout", flags.stall_seconds,
                 "seconds without a byte after which a connection counts as lost")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  parse(app, args);

  const hub::ModelName name = name_of(flags);
  const bool offline = flags.offline || hub::offline_by_environment();
  print_result(flags, name, offline ? from_cache(name) : from_hub(flags, name));
  return 0;
}

constexpr auto kCommands = std::to_array<Command>({
    {"pull", "a model of the Hugging Face Hub into the cache", run_download},
});

}  // namespace
}  // namespace tern::cli

int main(int argc, char** argv) {
  return tern::cli::run_program(argc, argv, tern::cli::kCommands, "tern");
}
