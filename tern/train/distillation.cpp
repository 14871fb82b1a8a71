// Plain libtorch: these products are small beside the model's.
#include "tern/train/distillation.h"

#include <cmath>
#include <limits>
#include <string>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;

// (windows, heads, sequence, head_dim) -> log of the relations (windows, relation_heads, sequence,
// sequence).
Tensor log_relations(const Tensor& states, std::int64_t relation_heads, const Tensor& mask) {
  const std::int64_t windows = states.size(0), sequence = states.size(2);
  const std::int64_t width = states.size(1) * states.size(3);
  if (width % relation_heads != 0) {
    throw Error(ErrorCode::kBadArgument,
                "attention states of " + std::to_string(width) + " columns and " +
                    std::to_string(relation_heads) +
                    " relation heads found, expected the first to be a multiple of the second");
  }
  const Tensor side_by_side =
      states.transpose(1, 2).reshape({windows, sequence, relation_heads, -1});
  const Tensor vectors = torch::nn::functional::normalize(
      side_by_side.transpose(1, 2), torch::nn::functional::NormalizeFuncOptions().p(2).dim(-1));
  Tensor products = torch::matmul(vectors, vectors.transpose(2, 3));
  if (mask.defined()) products = products + mask;
  return products.log_softmax(-1);
}

// The sum of KL(teacher || student) over the last dimension; a pair that neither can see adds 0.
Tensor divergence(const Tensor& log_student, const Tensor& log_teacher) {
  const Tensor chances = log_teacher.exp();
  return torch::where(chances > 0, chances * (log_teacher - log_student), torch::zeros({})).sum(-1);
}

}  // namespace

Tensor logit_divergence(const Tensor& student, const Tensor& teacher, double temperature,
                        const Tensor& weights) {
  const Tensor each =
      divergence((student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1));
  return weights.defined() ? (each * weights).sum() : each.sum();
}

Tensor relation_divergence(const AttentionStates& student, const AttentionStates& teacher,
                           std::int64_t relation_heads, const Tensor& segments) {
  Tensor mask, counted;
  if (segments.defined()) {
    const Tensor apart = segments.unsqueeze(2).ne(segments.unsqueeze(1)).unsqueeze(1);
    // Not -infinity: its product with a chance of 0 in the gradient would be no number.
    mask = torch::zeros(apart.sizes()).masked_fill(apart, -1e9f);
    counted = segments.ge(0).to(torch::kFloat32);  // (windows, sequence)
  }
  const auto term = [&](const Tensor& s, const Tensor& t) {
    const Tensor each =
        divergence(log_relations(s, relation_heads, mask), log_relations(t, relation_heads, mask))
            .mean(1);
    if (!counted.defined()) return each.mean();
    // Each window's own mean first: however windows are put into batches, the step's is the same.
    return ((each * counted).sum(1) / counted.sum(1).clamp_min(1)).mean();
  };
  return term(student.q, teacher.q) + term(student.k, teacher.k) + term(student.v, teacher.v);
}

}  // namespace tern::train
