// Exponential back-off.
#include "tern/hub/retry.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>
#include <utility>

#include "tern/base/error.h"
#include "tern/hub/listing.h"

namespace tern::hub {
namespace {

constexpr double kLongestDelay = 60;

double asked_delay(const HttpResponse& response) {
  const std::string* value = response.header("retry-after");  // Seconds; dates are passed over.
  const auto seconds = value == nullptr ? std::nullopt : parse_byte_count(*value);
  return seconds ? static_cast<double>(*seconds) : 0;
}

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f s", seconds < 1 ? 2 : 0, seconds);
  return text.data();
}

}  // namespace

bool may_pass(long status) noexcept {
  constexpr std::array<long, 7> kPassing{408, 425, 429, 500, 502, 503, 504};
  return std::ranges::find(kPassing, status) != kPassing.end();
}

std::string reason_of(const HttpResponse& response) {
  return response.fault.empty() ? "the server answers " + std::to_string(response.status)
                                : response.fault;
}

Retry::Retry(const RetryOptions& options, std::string what, Notice notice)
    : options_(options), what_(std::move(what)), notice_(std::move(notice)) {}

void Retry::wait(const HttpResponse& response, const std::string& reason, bool progressed) {
  failed_ = progressed ? 0 : failed_ + 1;
  if (failed_ > options_.retries) {
    throw Error(ErrorCode::kIo, what_ + ": " + reason + " (given up after " +
                                    std::to_string(failed_) + " tries that brought nothing)");
  }
  const double doublings = failed_ == 0 ? 0.0 : static_cast<double>(failed_ - 1);
  const double own = options_.delay * std::pow(2.0, doublings);
  const double seconds = std::min(std::max(own, asked_delay(response)), kLongestDelay);
  const std::string count = failed_ == 0 ? ""
                                         : " (" + std::to_string(failed_) + " of " +
                                               std::to_string(options_.retries) + ")";
  notify(notice_, what_ + ": " + reason + "; trying again in " + seconds_text(seconds) + count);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace tern::hub
