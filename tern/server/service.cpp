// The service's state.
#include "tern/server/service.h"

#include "tern/server/http_error.h"

namespace tern::server {

void Service::load(const ServedModel& model, engine::Scheduler& scheduler) {
  const std::lock_guard lock(mutex_);
  model_ = &model;
  scheduler_ = &scheduler;
}

void Service::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
}

bool Service::ready() const {
  const std::lock_guard lock(mutex_);
  return model_ != nullptr && !stopping_;
}

bool Service::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Service::require_ready() const {
  if (stopping_) throw HttpError(503, "the server is stopping");
  if (model_ == nullptr) throw HttpError(503, "the model is being loaded");
}

const ServedModel& Service::model() const {
  const std::lock_guard lock(mutex_);
  require_ready();
  return *model_;
}

engine::Scheduler& Service::scheduler() const {
  const std::lock_guard lock(mutex_);
  require_ready();
  return *scheduler_;
}

engine::SchedulerState Service::engine_state() const {
  const std::lock_guard lock(mutex_);
  return scheduler_ == nullptr ? engine::SchedulerState{} : scheduler_->state();
}

}  // namespace tern::server
