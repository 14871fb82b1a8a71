// Gradients of one step, added up over all processes while the backward pass goes on.
//
// The gradients lie in a few flat buffers ("buckets"), filled from the last parameter to the first:
// layer by layer, backward makes them ready in this order. As soon as all gradients of a bucket are
// there, its sum begins; sums begin in the order of the buckets everywhere. That order depends on
// the model alone, so that a run which goes on adds up in the order in which it did before.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "tern/train/processes.h"

namespace tern::train {

// Made and used by one thread; begin(), last() and finish() in each step. The gradients of
// `parameters` are views of its buffers, so that it takes no memory besides.
class GradientSum {
 public:
  // `parameters` that want gradients, in the model's order, float32; buckets of about
  // `bucket_bytes` (one parameter at least). `processes` outlives this object.
  GradientSum(Processes& processes, const std::vector<torch::Tensor>& parameters,
              std::size_t bucket_bytes);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  void begin();   // Gradients become 0.
  void last();    // The next backward pass is the step's last: what it makes ready is added up.
  void finish();  // All: waits until all gradients are sums, whether backward ran or not.

  std::size_t buckets() const noexcept { return buckets_.size(); }

 private:
  struct Bucket {
    torch::Tensor values;  // Flat.
    std::vector<torch::Tensor> parameters, views;
    std::size_t missing = 0;  // Gradients that are not there yet.
    std::function<void()> wait;
  };
  void ready(Bucket& bucket);
  void start_ready();

  Processes& processes_;
  std::vector<Bucket> buckets_;
  std::size_t started_ = 0;  // Buckets whose sum has begun in this step.
  bool last_ = false;
  // What calls ready(): they live as long as this object, and so do their hooks.
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, std::uintptr_t>> hooks_;
};

}  // namespace tern::train
