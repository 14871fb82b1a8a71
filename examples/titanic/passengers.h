// The Titanic table: reading it, splitting it, and making numbers of it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <vector>

inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

struct Passenger {
  // pclass, sex (female 1), age, sibsp, parch, fare; kMissing where the table has nothing.
  std::vector<double> features;
  std::int64_t survived = 0;  // 0 or 1.
};

// Reads a CSV whose first line names the columns survived, pclass, sex, age, sibsp, parch and fare,
// in any order and among others, without quoted fields. Throws tern::Error naming file and line.
std::vector<Passenger> read_passengers(const std::filesystem::path& file);

struct Samples {
  torch::Tensor features;  // (n, 6) float32.
  torch::Tensor labels;    // (n) int64.
};

struct Split {
  Samples train, test;
};

// Four fifths for training and the rest for the test, drawn by `seed`. A missing value becomes the
// median of its column, then each column gets mean 0 and standard deviation 1; median, mean and
// deviation are those of the training rows, so that nothing of the test is known in training.
Split split_passengers(const std::vector<Passenger>& passengers, std::uint64_t seed);
