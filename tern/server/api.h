// From a request to its endpoint: access, routes, threads and errors.
#pragma once

#include <memory>
#include <string_view>

#include "tern/server/access.h"
#include "tern/server/exchange.h"
#include "tern/server/service.h"

namespace tern::server {

// An endpoint. Runs in the worker thread, and there may throw HttpError and tern::Error; or, where
// its route says so, in the I/O thread, and must then be quick.
using Endpoint = void (*)(Service& service, const ExchangePtr& exchange);

struct Route {
  std::string_view method, path;  // "/v1/models/*": whatever follows.
  Endpoint endpoint;
  bool quick = false;      // In the I/O thread.
  bool open = false;       // Without a key.
  bool anthropic = false;  // Errors in Anthropic's shape.
};

class Api {
 public:
  Api(Service& service, AccessRules rules);
  ~Api();
  // The handler of an HttpServer. What is no quick endpoint's is done in one worker thread, so that
  // a large body never holds up the streams of others.
  void handle(const ExchangePtr& exchange);
  // Ends the worker; waits for what it is at.
  void stop();

 private:
  struct Worker;
  Service& service_;
  AccessRules rules_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace tern::server
