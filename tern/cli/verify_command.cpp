// `tern verify`: a model's self-check. Exit status 1 where a check fails.
#include <fmt/core.h>

#include "tern/base/json.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"
#include "tern/convert/verify.h"

namespace tern::cli {
namespace {

const char* status_name(convert::CheckStatus status) {
  switch (status) {
    case convert::CheckStatus::kPass:
      return "pass";
    case convert::CheckStatus::kWarning:
      return "warning";
    case convert::CheckStatus::kFail:
      return "fail";
    case convert::CheckStatus::kSkipped:
      return "skipped";
  }
  return "";
}

void print_json(const convert::VerifyReport& report) {
  Json checks = Json::array();
  for (const convert::VerifyCheck& check : report.checks) {
    checks.push_back(
        {{"name", check.name}, {"status", status_name(check.status)}, {"detail", check.detail}});
  }
  fmt::print("{}\n", dump_json({{"passed", report.passed()}, {"checks", checks}}));
}

}  // namespace

int run_verify(std::span<const std::string> args) {
  CLI::App app("Checks a model and every kernel of this CPU against each other.", "tern verify");
  ModelOptions model;
  bool json = false;
  add_model_options(app, model);
  app.add_flag("--json", json, "one JSON object on stdout");
  parse(app, args);

  ThreadPool pool(model.thread_count());
  const convert::VerifyReport report =
      convert::verify(model.path(), model.open_options(), pool, stderr_progress());
  if (json) {
    print_json(report);
  } else {
    for (const convert::VerifyCheck& check : report.checks) {
      fmt::print("{:<10} {:<8} {}\n", check.name, status_name(check.status), check.detail);
    }
    fmt::print("{}\n", report.passed() ? "PASS" : "FAIL");
  }
  return report.passed() ? 0 : 1;
}

}  // namespace tern::cli
