// Trying again: how often, how long to wait, and when the last word is an error.
#pragma once

#include <string>
#include <string_view>

#include "tern/base/notice.h"
#include "tern/hub/http.h"

namespace tern::hub {

struct RetryOptions {
  unsigned retries = 5;  // In a row that bring nothing.
  double delay = 1;      // Seconds before the first; doubled for each further, at most 60.
};

// 408, 425, 429, 500, 502, 503 and 504 may pass by themselves.
bool may_pass(long status) noexcept;

// Counts the failed tries of one thing, `what`.
class Retry {
 public:
  Retry(const RetryOptions& options, std::string what, Notice notice);

  // Waits before the next try (as long as Retry-After says, if that is longer, up to a minute), and
  // tells that through the notice. Throws Error(kIo) with `reason` where there is no next one.
  // Where the last try got on (`progressed`), it does not count, and the count begins anew.
  void wait(const HttpResponse& response, const std::string& reason, bool progressed = false);

 private:
  RetryOptions options_;
  std::string what_;
  Notice notice_;
  unsigned failed_ = 0;
};

// Why a response is not what was asked for: its fault, or its status.
std::string reason_of(const HttpResponse& response);

}  // namespace tern::hub
