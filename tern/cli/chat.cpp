// The loop of a conversation, and its commands.
#include "tern/cli/chat.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <functional>

#include "tern/base/atomic_file.h"
#include "tern/base/char_width.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/cli/answer_output.h"
#include "tern/cli/chat_input.h"
#include "tern/cli/conversation.h"
#include "tern/cli/loaded_model.h"

namespace tern::cli {
namespace {

constexpr std::string_view kBlanks = " \t\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

std::string counted(std::size_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

// What a conversation was made with; the seed is that of its first answer.
OrderedJson settings_json(const RunOptions& o, const AnswerSettings& settings,
                          std::size_t context) {
  const engine::SamplerParams& s = settings.sampler;
  return {{"temperature", s.temperature},
          {"top_k", s.top_k},
          {"top_p", s.top_p},
          {"min_p", s.min_p},
          {"typical", s.typical_p},
          {"repeat_penalty", s.repeat_penalty},
          {"repeat_last_n", s.repeat_last_n},
          {"presence_penalty", s.presence_penalty},
          {"frequency_penalty", s.frequency_penalty},
          {"seed", s.seed},
          {"n_predict", o.predict},
          {"ctx_size", context},
          {"stop", o.stop},
          {"ignore_eos", o.ignore_eos}};
}

class Chat {
 public:
  Chat(const RunOptions& options, std::string model, const AnswerSettings& settings,
       Conversation& conversation, ChatInput& input)
      : options_(options),
        model_(std::move(model)),
        settings_(settings),
        conversation_(conversation),
        input_(input) {}

  int run();

 private:
  struct CommandRow {
    std::string_view name, argument, summary;
    void (Chat::*run)(std::string_view argument);
  };
  static const std::array<CommandRow, 8> kCommands;

  void take(std::string_view line);
  void command(std::string_view line);
  void answer(const std::function<engine::GenerateResult(const AnswerHooks&)>& make);
  void after(const engine::GenerateResult& result);

  void help(std::string_view);
  void load(std::string_view file);
  void quit(std::string_view) { left_ = true; }
  void regen(std::string_view);
  void reset(std::string_view);
  void save(std::string_view file);
  void system(std::string_view text);
  void undo(std::string_view);

  const RunOptions& options_;
  std::string model_;
  const AnswerSettings& settings_;
  Conversation& conversation_;
  ChatInput& input_;
  bool left_ = false;
  int status_ = 0;
};

constexpr std::array<Chat::CommandRow, 8> Chat::kCommands{{
    {"/help", "", "this list", &Chat::help},
    {"/load", "FILE", "go on with a conversation that /save wrote", &Chat::load},
    {"/quit", "", "leave, as Ctrl-D does", &Chat::quit},
    {"/regen", "", "another answer to the last message", &Chat::regen},
    {"/reset", "", "begin anew; the system prompt stays", &Chat::reset},
    {"/save", "FILE", "write the conversation to a file, as JSON", &Chat::save},
    {"/system", "[TEXT]", "set the system prompt; - removes it; alone: show it", &Chat::system},
    {"/undo", "", "take the last message and its answer back", &Chat::undo},
}};

int Chat::run() {
  bool leaving = false;  // Ctrl-C was the last thing that came.
  while (!left_) {
    const EditedLine line = input_.next();
    if (line.end == EditedLine::End::kClosed) break;
    if (line.end == EditedLine::End::kInterrupted) {
      if (!line.text.empty()) continue;
      if (leaving) break;
      leaving = true;
      say("Ctrl-D or /quit leaves, and so does Ctrl-C once more");
      continue;
    }
    leaving = false;
    input_.remember(line.text);
    try {
      take(line.text);
    } catch (const Error& e) {
      if (!input_.interactive()) throw;
      say(terminal_text(e.what()));
    }
  }
  return status_;
}

void Chat::take(std::string_view line) {
  if (line.starts_with('/') && !line.starts_with("//")) return command(line);
  if (line.starts_with("//")) line.remove_prefix(1);
  // An empty line says nothing to somebody; a plain text just goes on.
  if (conversation_.has_template() && trimmed(line).empty()) return;
  answer([&](const AnswerHooks& hooks) { return conversation_.ask(line, hooks); });
}

void Chat::command(std::string_view line) {
  const std::string_view name = line.substr(0, line.find_first_of(kBlanks));
  const std::string_view argument = trimmed(line.substr(name.size()));
  const auto row = std::ranges::find(kCommands, name, &CommandRow::name);
  if (row == kCommands.end()) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("unknown command '{}', expected one that /help lists (a message that "
                            "begins with / is typed with //)",
                            name));
  }
  if (row->argument.empty() && !argument.empty()) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("{} takes nothing after it, but '{}' was found", name, argument));
  }
  if (row->argument == "FILE" && argument.empty()) {
    throw Error(ErrorCode::kBadArgument, fmt::format("{} needs the name of a file", name));
  }
  (this->*row->run)(argument);
}

void Chat::answer(const std::function<engine::GenerateResult(const AnswerHooks&)>& make) {
  bool wrote = false, line_ended = false;
  AnswerHooks hooks;
  hooks.on_text = [&](std::string_view piece) {
    write_answer(piece);
    wrote = true;
    line_ended = piece.ends_with('\n');
  };
  hooks.keep_going = [&] { return !input_.interrupted() && std::ferror(stdout) == 0; };
  hooks.progress = stderr_progress();
  hooks.notice = [](std::string_view sentence) { say(sentence); };
  input_.begin_answer();
  std::optional<engine::GenerateResult> result;
  try {
    result = make(hooks);
  } catch (...) {
    input_.end_answer();
    if (wrote) write_answer("\n");
    throw;
  }
  input_.end_answer();
  const bool stopped = result->reason == engine::StopReason::kInterrupted;
  if (stopped && result->tokens.empty()) {
    if (stderr_is_terminal()) fmt::print(stderr, "\r\033[K");  // A progress bar.
    if (input_.interactive()) say("stopped before the answer began; the message is taken back");
  } else {
    // A pipe gets one line end after each answer, a screen no more than it needs.
    if (!input_.interactive() || !line_ended) write_answer("\n");
    after(*result);
  }
  if (input_.interrupted() && !input_.interactive()) {
    say("interrupted; what follows on stdin is not read");
    status_ = 1;
    left_ = true;
  }
  if (std::ferror(stdout) != 0) {
    say("cannot write the output");
    status_ = 1;
    left_ = true;
  }
}

void Chat::after(const engine::GenerateResult& result) {
  if (result.reason == engine::StopReason::kContextFull) {
    say(
        fmt::format("the answer ends here: the context of {} tokens is full (-c); the next message "
                    "makes room by dropping the oldest",
                    conversation_.context()));
  }
  if (options_.verbose) say(answer_summary(result));
  if (input_.interactive()) {
    if (result.text.empty()) say("the model wrote nothing");
    if (stdout_is_terminal()) fmt::print(stderr, "\n");
  }
}

void Chat::help(std::string_view) {
  for (const CommandRow& row : kCommands) {
    fmt::print(stderr, "  {:<16} {}\n", fmt::format("{} {}", row.name, row.argument), row.summary);
  }
  fmt::print(stderr,
             "  {:<16} a message that begins with /\n"
             "  A line that ends with \\ goes on in the next. Ctrl-C ends an answer.\n",
             "//TEXT");
}

void Chat::load(std::string_view file) {
  const std::string name(file);
  try {
    const Json whole = parse_json(read_text_file(name), "the conversation");
    conversation_.load_messages(whole.is_object() && whole.contains("messages") ? whole["messages"]
                                                                                : whole);
  } catch (const Error& e) {
    const bool named = std::string_view(e.what()).starts_with(name);
    throw named ? e : with_context(name, e);
  }
  say(fmt::format("{} of {}; the next answer goes on from there",
                  counted(conversation_.messages().size(), "message"), name));
}

void Chat::regen(std::string_view) {
  answer([&](const AnswerHooks& hooks) { return conversation_.ask_again(hooks); });
}

void Chat::reset(std::string_view) {
  conversation_.reset();
  say("the conversation begins anew");
}

void Chat::save(std::string_view file) {
  const std::filesystem::path path(file);
  std::error_code error;
  const bool replaced = std::filesystem::exists(path, error);
  const OrderedJson whole{
      {"model", model_},
      {"messages", conversation_.saved_messages()},
      {"settings", settings_json(options_, settings_, conversation_.context())}};
  write_file(path, dump_ordered_json(whole, 2) + "\n");
  say(fmt::format("saved {} to {}{}", counted(conversation_.messages().size(), "message"),
                  path.string(), replaced ? ", in place of the file that was there" : ""));
}

void Chat::system(std::string_view text) {
  if (!text.empty()) conversation_.set_system(text == "-" ? "" : text);
  say(conversation_.system().empty()
          ? "there is no system prompt"
          : terminal_text("the system prompt is: " + conversation_.system()));
}

void Chat::undo(std::string_view) {
  if (!conversation_.undo()) {
    throw Error(ErrorCode::kBadArgument, "no message found that could be taken back");
  }
  say(fmt::format("taken back; {} left", counted(conversation_.messages().size(), "message")));
}

}  // namespace

int run_chat(const RunOptions& o) {
  if (o.json || o.echo) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("{} was given without a text to go on from, expected -p TEXT or -f "
                            "FILE with it",
                            o.json ? "--json" : "--echo"));
  }
  AnswerSettings settings{answer_limits(o), sampler_params(o), read_grammar(o)};
  LoadedModel loaded = open_model(o.model);
  const tokenizer::Tokenizer& tokenizer = loaded.need_tokenizer();
  const std::string& name = loaded.checkpoint->name();
  std::optional<tokenizer::ChatTemplate> chat_template;
  if (!loaded.checkpoint->chat_template().empty()) {
    chat_template.emplace(loaded.checkpoint->chat_template(), tokenizer.data(),
                          name + ": chat template");
  }
  loaded.load_weights(context_size(loaded, o.context));
  model::KvPool cache(loaded.model->config(), loaded.model->context(), kv_type(o.cache_k),
                      kv_type(o.cache_v));
  model::Session session(cache);
  model::Forward forward(*loaded.model, *loaded.pool, std::min(o.batch, loaded.model->context()));
  Conversation conversation(tokenizer, forward, session, *loaded.pool, std::move(chat_template),
                            settings);
  conversation.set_system(o.system);

  if (!conversation.has_template()) {
    say(name + " has no chat template: it writes on from what is typed, and does not answer");
  }
  const std::unique_ptr<ChatInput> input = open_chat_input(!o.no_history);
  if (input->interactive()) say("/help lists what can be done, Ctrl-D leaves");
  return Chat(o, name, settings, conversation, *input).run();
}

}  // namespace tern::cli
