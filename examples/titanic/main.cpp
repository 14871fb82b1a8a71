// Linear and BitLinear on the Titanic table: what naive replacement loses, and what brings it back.
// Usage: titanic TITANIC.csv [SEEDS]
//
// The network that articles on BitNet use: 6-64-64-2, ReLU, dropout 0.5, Adam. Deterministic: the
// same table and number of seeds print the same lines.
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "passengers.h"
#include "tern/base/error.h"
#include "tern/train/bit_linear.h"

namespace {

namespace nn = torch::nn;
using tern::train::BitLinearImpl;
using tern::train::BitLinearOptions;

struct Recipe {
  const char* name;
  bool norm = false;       // RMSNorm in each BitLinear, before its activations are quantised.
  bool ends_full = false;  // The first and the last layer stay Linear.
  double warmup = 0;       // Share of the run in which lambda grows from 0 to 1.
  double rate = 1e-3;      // Adam's learning rate.
  std::int64_t width = 64;
  int epochs = 5;
};

constexpr std::int64_t kBatch = 64;
constexpr int kSeeds = 10;

// Each changes one thing of the first, the last some together.
constexpr std::array kRecipes{
    Recipe{.name = "naive"},
    Recipe{.name = "norm inside", .norm = true},
    Recipe{.name = "ends in full precision", .ends_full = true},
    Recipe{.name = "lambda warm-up", .warmup = 0.5},
    Recipe{.name = "learning rate x 5", .rate = 5e-3},
    Recipe{.name = "width 256", .width = 256},
    Recipe{.name = "epochs x 8", .epochs = 40},
    Recipe{.name = "norm, rate x 5, epochs x 8", .norm = true, .rate = 5e-3, .epochs = 40},
};

nn::Sequential make_network(const Recipe& recipe, bool ternary) {
  nn::Sequential network(nn::Linear(6, recipe.width), nn::ReLU(), nn::Dropout(0.5),
                         nn::Linear(recipe.width, recipe.width), nn::ReLU(), nn::Dropout(0.5),
                         nn::Linear(recipe.width, 2));
  if (!ternary) return network;
  // Layers 0, 3 and 6 of the Sequential are Linear.
  const auto filter = [&](const std::string& name, const nn::LinearImpl&) {
    return !recipe.ends_full || name == "3";
  };
  tern::train::replace_linears(*network, filter, BitLinearOptions(0, 0).norm(recipe.norm));
  return network;
}

void set_lambda(nn::Sequential& network, double lambda) {
  for (const auto& module : network->modules()) {
    if (auto* layer = module->as<BitLinearImpl>()) layer->options.lambda(lambda);
  }
}

double accuracy(nn::Sequential& network, const Samples& samples) {
  const torch::NoGradGuard no_grad;
  network->eval();
  const torch::Tensor guess = network->forward(samples.features).argmax(1);
  return guess.eq(samples.labels).to(torch::kFloat64).mean().item<double>();
}

// The -1, 0 and +1 of every BitLinear, one after another; empty where there is none.
torch::Tensor digits_of(nn::Sequential& network) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> digits{torch::empty(0, torch::kInt8)};
  for (const auto& module : network->modules()) {
    if (const auto* layer = module->as<BitLinearImpl>()) {
      digits.push_back(
          tern::train::quantized_weights(layer->weight, layer->options.format()).digits.flatten());
    }
  }
  return torch::cat(digits);
}

struct Outcome {
  double accuracy = 0;  // Passengers of the test that are told right, in per cent.
  double changed = 0;   // Digits that are others than at the start, in per cent; NaN for Linear.
};

Outcome train_network(const Recipe& recipe, bool ternary, const Split& split, std::uint64_t seed) {
  torch::manual_seed(seed);
  nn::Sequential network = make_network(recipe, ternary);
  const torch::Tensor start = digits_of(network);
  torch::optim::Adam adam(network->parameters(), recipe.rate);
  const std::int64_t rows = split.train.labels.size(0);
  for (int epoch = 0; epoch < recipe.epochs; ++epoch) {
    const double done = static_cast<double>(epoch) / recipe.epochs;
    set_lambda(network, recipe.warmup > 0 ? std::min(1.0, done / recipe.warmup) : 1.0);
    network->train();
    const torch::Tensor order = torch::randperm(rows);
    for (std::int64_t first = 0; first < rows; first += kBatch) {
      const torch::Tensor batch = order.slice(0, first, std::min(first + kBatch, rows));
      adam.zero_grad();
      const torch::Tensor logits = network->forward(split.train.features.index_select(0, batch));
      nn::functional::cross_entropy(logits, split.train.labels.index_select(0, batch)).backward();
      adam.step();
    }
  }
  const torch::Tensor changed = digits_of(network).ne(start).to(torch::kFloat64).mean();
  return {100 * accuracy(network, split.test), 100 * changed.item<double>()};
}

struct Statistic {
  double mean = 0, deviation = 0;
};

Statistic statistic(const std::vector<double>& values) {
  Statistic s;
  for (const double v : values) s.mean += v / static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  if (values.size() > 1) {
    s.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
  return s;
}

// Linear and BitLinear see the same splits, so that they are compared seed by seed.
void print_table(const std::vector<Passenger>& passengers, int seeds) {
  std::printf("%zu passengers, seeds 0 to %d, test accuracy in %%\n\n", passengers.size(),
              seeds - 1);
  std::printf("%-28s  %-13s %-13s  %-28s %s\n", "mean ± sd", "Linear", "BitLinear",
              "difference ± standard error", "digits changed");
  for (const Recipe& recipe : kRecipes) {
    std::vector<double> linear, ternary, difference, changed;
    for (int i = 0; i < seeds; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      const Split split = split_passengers(passengers, seed);
      const Outcome bits = train_network(recipe, true, split, seed);
      linear.push_back(train_network(recipe, false, split, seed).accuracy);
      ternary.push_back(bits.accuracy);
      changed.push_back(bits.changed);
      difference.push_back(ternary.back() - linear.back());
    }
    const Statistic a = statistic(linear), b = statistic(ternary), d = statistic(difference);
    std::printf("%-27s %5.1f ± %-5.1f %5.1f ± %-5.1f %+5.1f ± %-20.1f %3.0f %%\n", recipe.name,
                a.mean, a.deviation, b.mean, b.deviation, d.mean,
                d.deviation / std::sqrt(static_cast<double>(seeds)), statistic(changed).mean);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int seeds = argc > 2 ? std::atoi(argv[2]) : kSeeds;
  if (argc < 2 || argc > 3 || seeds < 1) {
    std::fprintf(stderr, "usage: titanic TITANIC.csv [SEEDS]\n");
    return 2;
  }
  try {
    torch::set_num_threads(1);  // The matrices are tiny.
    print_table(read_passengers(argv[1]), seeds);
    return 0;
  } catch (const tern::Error& e) {
    std::fprintf(stderr, "titanic: %s\n", e.what());
    return 1;
  }
}
