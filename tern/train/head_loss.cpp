// Some rows at a time: logits, their loss, and the gradients of both factors.
#include "tern/train/head_loss.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tern/train/matrix_rows.h"

namespace tern::train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Logits that are held at a time.
constexpr std::int64_t kLogits = std::int64_t{1} << 22;
constexpr std::int64_t kPiece = 4096;

// The rows' losses; `logits` become their gradients, chance minus 1 at the target, where wanted.
double row_losses(const Tensor& logits, const std::int64_t* targets, bool gradients) {
  const std::int64_t count = logits.size(0), vocab = logits.size(1);
  const rows::Reader reader(logits);
  const rows::Writer writer(logits);
  std::vector<double> losses(static_cast<std::size_t>(count));
  at::parallel_for(0, count, rows::grain(vocab), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(vocab));
    for (std::int64_t r = begin; r < end; ++r) {
      reader.copy(r, row.data());
      const float target = row[static_cast<std::size_t>(targets[r])];
      const float most = rows::maximum(row.data(), vocab);
      double sum = 0;  // Of pieces: a float would lose the last of 100,000 small terms.
      for (std::int64_t c = 0; c < vocab; c += kPiece) {
        const std::int64_t n = std::min(kPiece, vocab - c);
        sum += static_cast<double>(rows::exp_below(row.data() + c, n, most));
      }
      losses[static_cast<std::size_t>(r)] = std::log(sum) + static_cast<double>(most - target);
      if (!gradients) continue;
      rows::scale(row.data(), vocab, static_cast<float>(1.0 / sum), nullptr, row.data());
      row[static_cast<std::size_t>(targets[r])] -= 1;
      writer.put(r, 0, row.data(), vocab);
    }
  });
  double total = 0;
  for (const double loss : losses) total += loss;
  return total;
}

struct HeadLoss : torch::autograd::Function<HeadLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& head,
                        const Tensor& targets, torch::Dtype type, bool gradients,
                        bool head_learns) {
    const std::int64_t count = hidden.size(0), vocab = head.size(0);
    const Tensor h = hidden.to(type), e = head.to(type);
    const std::int64_t step =
        std::clamp<std::int64_t>(kLogits / vocab, 1, std::max<std::int64_t>(count, 1));
    Tensor d_hidden, d_head;
    if (gradients) {
      d_hidden = torch::empty({count, hidden.size(1)}, torch::kFloat32);
      if (head_learns) d_head = torch::zeros(head.sizes(), torch::kFloat32);
    }
    double total = 0;
    for (std::int64_t first = 0; first < count; first += step) {
      const std::int64_t last = std::min(count, first + step);
      const Tensor some = h.slice(0, first, last);
      const Tensor logits = torch::mm(some, e.t());
      total += row_losses(logits, targets.data_ptr<std::int64_t>() + first, gradients);
      if (!gradients) continue;
      d_hidden.slice(0, first, last).copy_(torch::mm(logits, e));
      if (head_learns) d_head.add_(torch::mm(logits.t(), some));
    }
    context->save_for_backward({d_hidden, d_head});
    return torch::scalar_tensor(total, torch::kFloat32);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor& by = gradients[0];
    const Tensor d_head = saved[1].defined() ? saved[1] * by : Tensor();
    return {saved[0] * by, d_head, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor head_loss(const Tensor& hidden, const Tensor& head, const Tensor& targets,
                 torch::Dtype product_type) {
  TORCH_CHECK(hidden.dim() == 2 && targets.dim() == 1 && hidden.size(0) == targets.size(0) &&
                  head.size(1) == hidden.size(1),
              "hidden states of ", hidden.sizes(), " found with targets of ", targets.sizes(),
              " and a head of ", head.sizes());
  const bool gradients =
      torch::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  return HeadLoss::apply(hidden.contiguous(), head, targets.contiguous(), product_type, gradients,
                         head.requires_grad());
}

}  // namespace tern::train
