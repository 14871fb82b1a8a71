// `tern list`: the models in the Hugging Face cache, by the names that every command takes.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tern/base/json.h"
#include "tern/base/size_text.h"
#include "tern/cli/command.h"
#include "tern/hub/cache.h"

namespace tern::cli {
namespace {

void print_json(const std::vector<hub::CachedModel>& models) {
  Json list = Json::array();
  for (const hub::CachedModel& model : models) {
    list.push_back({{"model", model.name},
                    {"kind", model.kind},
                    {"bytes", model.bytes},
                    {"commit", model.commit},
                    {"path", model.path.string()}});
  }
  fmt::print("{}\n", dump_json(list));
}

void print_table(const std::vector<hub::CachedModel>& models) {
  std::size_t width = 5;
  for (const hub::CachedModel& model : models) width = std::max(width, model.name.size());
  fmt::print("{:<{}}  {:<14}{:>11}  {}\n", "MODEL", width, "kind", "size", "commit");
  for (const hub::CachedModel& model : models) {
    fmt::print("{:<{}}  {:<14}{:>11}  {}\n", model.name, width, model.kind, size_text(model.bytes),
               model.commit.substr(0, 12));
  }
}

}  // namespace

int run_list(std::span<const std::string> args) {
  CLI::App app(
      "Lists the models in the cache of the Hugging Face Hub that tern may be able to read.",
      "tern list");
  bool json = false;
  app.add_flag("--json", json, "one JSON list on stdout");
  parse(app, args);

  const std::filesystem::path cache = hub::cache_folder();
  const std::vector<hub::CachedModel> models = hub::list_cached(cache);
  if (json) {
    print_json(models);
  } else if (models.empty()) {
    say(fmt::format("no models in {}; tern pull USER/REPO gets one", cache.string()));
  } else {
    print_table(models);
  }
  return 0;
}

}  // namespace tern::cli
