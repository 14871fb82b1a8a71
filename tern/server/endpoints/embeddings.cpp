// POST /v1/embeddings: the mean of a text's final hidden states, or the last of them, at length 1.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "tern/server/answers.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/prompts.h"
#include "tern/server/text_fields.h"
#include "tern/server/texts.h"

namespace tern::server {
namespace {

// RFC 4648.
std::string base64(std::span<const unsigned char> bytes) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned three = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) three = three << 8 | (k < n ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= n ? kLetters[three >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

class EmbeddingSink final : public TextSink {
 public:
  EmbeddingSink(ExchangePtr exchange, const ServedModel& model, std::size_t count, bool as_base64)
      : exchange_(std::move(exchange)), model_(model), base64_(as_base64), vectors_(count) {}

  void on_output(TextOutput&& output) override {
    if (!output.ended) return;
    vectors_[output.index] = std::move(output.embedding);
    usage_.add(output.status);
  }
  void on_all_ended() override {
    OrderedJson data = OrderedJson::array();
    for (std::size_t i = 0; i < vectors_.size(); ++i) {
      data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", json(vectors_[i])}});
    }
    reply_json(*exchange_,
               {{"object", "list"},
                {"data", std::move(data)},
                {"model", model_.id},
                {"usage", {{"prompt_tokens", usage_.prompt}, {"total_tokens", usage_.prompt}}}});
  }
  void on_failure(const HttpError& error) override { reply_error(*exchange_, error, false); }

 private:
  OrderedJson json(std::vector<float>& vector) const {
    double squares = 0;
    for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
    const double length = squares > 0 ? std::sqrt(squares) : 1.0;
    for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
    if (!base64_) return vector;
    std::vector<unsigned char> bytes(vector.size() * sizeof(float));  // Little-endian, as OpenAI's.
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    return base64(bytes);
  }

  ExchangePtr exchange_;
  const ServedModel& model_;
  const bool base64_;
  std::vector<std::vector<float>> vectors_;
  Usage usage_;
};

}  // namespace

void post_embeddings(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  const Fields fields(body);
  check_model_name(fields, model);
  const std::string format = fields.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    throw fields.wrong("encoding_format", "\"float\" or \"base64\"");
  }
  if (fields.find("dimensions") != nullptr) {
    throw fields.wrong("dimensions", "none: vectors have the model's own length");
  }
  const std::string pooling = fields.text("pooling").value_or("mean");
  if (pooling != "mean" && pooling != "last") throw fields.wrong("pooling", "\"mean\" or \"last\"");
  std::vector<engine::TextRequest> texts;
  for (auto& prompt : read_prompts(fields, "input", model, service.limits)) {
    engine::TextRequest text;
    text.prompt = std::move(prompt);
    text.pooling = pooling == "mean" ? engine::Pooling::kMean : engine::Pooling::kLast;
    texts.push_back(std::move(text));
  }
  auto sink = std::make_shared<EmbeddingSink>(exchange, model, texts.size(), format == "base64");
  run_texts(service, exchange, std::move(texts), std::move(sink));
}

}  // namespace tern::server
