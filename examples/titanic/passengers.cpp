// Reading and preparing the Titanic table.
#include "passengers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <string_view>

#include "tern/base/error.h"

namespace {

using tern::Error;
using tern::ErrorCode;

constexpr std::array<std::string_view, 6> kFeatures{"pclass", "sex",   "age",
                                                    "sibsp",  "parch", "fare"};

std::vector<std::string> fields_of(std::string line) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
  std::vector<std::string> fields(1);
  for (const char c : line) {
    if (c == ',') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

std::size_t column_of(const std::vector<std::string>& header, std::string_view name,
                      const std::string& file) {
  const auto at = std::find(header.begin(), header.end(), name);
  if (at == header.end()) {
    throw Error(ErrorCode::kCorruptFile,
                file + ": the first line names no column '" + std::string(name) + "'");
  }
  return static_cast<std::size_t>(at - header.begin());
}

double number(const std::string& text, const std::string& where) {
  if (text.empty()) return kMissing;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) {
    throw Error(ErrorCode::kCorruptFile, where + ": '" + text + "' is not a number");
  }
  return value;
}

double feature(std::string_view name, const std::string& text, const std::string& where) {
  if (name != "sex") return number(text, where);
  if (text == "female" || text == "male") return text == "female" ? 1 : 0;
  throw Error(ErrorCode::kCorruptFile, where + ": sex is '" + text + "', expected female or male");
}

// A shuffle of our own: std::shuffle may differ between standard libraries.
std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937_64 random(seed);
  for (std::size_t i = count - 1; i > 0; --i) std::swap(order[i], order[random() % (i + 1)]);
  return order;
}

Samples samples_of(const std::vector<Passenger>& passengers, const std::size_t* rows,
                   std::size_t count) {
  std::vector<double> features;
  std::vector<std::int64_t> labels;
  for (std::size_t i = 0; i < count; ++i) {
    const Passenger& p = passengers[rows[i]];
    features.insert(features.end(), p.features.begin(), p.features.end());
    labels.push_back(p.survived);
  }
  const auto n = static_cast<std::int64_t>(count);
  return {torch::tensor(features, torch::kFloat64).view({n, kFeatures.size()}),
          torch::tensor(labels, torch::kInt64)};
}

}  // namespace

std::vector<Passenger> read_passengers(const std::filesystem::path& path) {
  const std::string file = path.string();
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line)) {
    throw Error(ErrorCode::kIo, file + ": cannot be read, or is empty");
  }
  const std::vector<std::string> header = fields_of(line);
  const std::size_t survived = column_of(header, "survived", file);
  std::array<std::size_t, kFeatures.size()> columns{};
  for (std::size_t f = 0; f < kFeatures.size(); ++f) {
    columns[f] = column_of(header, kFeatures[f], file);
  }

  std::vector<Passenger> passengers;
  for (std::size_t row = 2; std::getline(in, line); ++row) {
    const std::string where = file + ": line " + std::to_string(row);
    const std::vector<std::string> fields = fields_of(line);
    if (fields.size() != header.size()) {
      throw Error(ErrorCode::kCorruptFile, where + " has " + std::to_string(fields.size()) +
                                               " fields, the first line " +
                                               std::to_string(header.size()));
    }
    if (fields[survived] != "0" && fields[survived] != "1") {
      throw Error(ErrorCode::kCorruptFile,
                  where + ": survived is '" + fields[survived] + "', expected 0 or 1");
    }
    Passenger p;
    p.survived = fields[survived] == "1" ? 1 : 0;
    for (std::size_t f = 0; f < kFeatures.size(); ++f) {
      p.features.push_back(feature(kFeatures[f], fields[columns[f]], where));
    }
    passengers.push_back(std::move(p));
  }
  if (passengers.size() < 10) {
    throw Error(ErrorCode::kCorruptFile, file + " has " + std::to_string(passengers.size()) +
                                             " passengers, expected at least 10");
  }
  return passengers;
}

Split split_passengers(const std::vector<Passenger>& passengers, std::uint64_t seed) {
  const std::vector<std::size_t> order = shuffled(passengers.size(), seed);
  const std::size_t training = passengers.size() * 4 / 5;
  Split split{samples_of(passengers, order.data(), training),
              samples_of(passengers, order.data() + training, order.size() - training)};

  const torch::Tensor median = std::get<0>(split.train.features.nanmedian(/*dim=*/0));
  for (Samples* part : {&split.train, &split.test}) {
    part->features = torch::where(part->features.isnan(), median, part->features);
  }
  const torch::Tensor mean = split.train.features.mean(0);
  const torch::Tensor deviation =
      split.train.features.std(/*dim=*/0, /*unbiased=*/true).clamp_min(1e-6);
  for (Samples* part : {&split.train, &split.test}) {
    part->features = ((part->features - mean) / deviation).to(torch::kFloat32);
  }
  return split;
}
