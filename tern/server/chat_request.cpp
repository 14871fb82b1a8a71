// Messages to a prompt.
#include "tern/server/chat_request.h"

#include <algorithm>

#include "tern/base/error.h"
#include "tern/server/text_fields.h"
#include "tern/server/tool_calls.h"

namespace tern::server {
namespace {

constexpr std::size_t kMostMessages = 10000;
constexpr std::size_t kMostTools = 128;

jinja::Value as_value(const OrderedJson& json, const std::string& where) {
  try {
    return jinja::parse_value(dump_ordered_json(json), where);
  } catch (const Error& e) {
    throw HttpError(400, e.what(), where);
  }
}

// OpenAI writes the arguments of a call as a text of JSON; templates want the object.
OrderedJson with_objects(OrderedJson calls, const std::string& where) {
  std::size_t i = 0;
  for (OrderedJson& call : calls) {
    const std::string name = where + "[" + std::to_string(i++) + "]";
    const Fields fields(call, name + ".");
    const OrderedJson* function = fields.object("function");
    if (function == nullptr) throw fields.missing("function", "an object");
    const Fields inner(*function, name + ".function.");
    if (!inner.text("name")) throw inner.missing("name", "a string");
    const OrderedJson* arguments = inner.find("arguments");
    if (arguments == nullptr || !arguments->is_string()) continue;
    try {
      OrderedJson object = parse_ordered_json(arguments->get<std::string>(), name);
      if (object.is_object()) call["function"]["arguments"] = std::move(object);
    } catch (const Error&) {
      // A text that a model once wrote and that is no JSON: the template gets it as it is.
    }
  }
  return calls;
}

const OrderedJson* read_tools(const Fields& fields) {
  const OrderedJson* tools = fields.array("tools");
  if (tools == nullptr || tools->empty()) return nullptr;
  if (tools->size() > kMostTools) {
    throw fields.wrong("tools", "at most " + std::to_string(kMostTools) + " tools");
  }
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const std::string name = fields.name("tools") + "[" + std::to_string(i) + "]";
    const Fields tool((*tools)[i], name + ".");
    if (tool.text("type").value_or("function") != "function")
      throw tool.wrong("type", "\"function\"");
    const OrderedJson* function = tool.object("function");
    if (function == nullptr) throw tool.missing("function", "an object");
    const Fields inner(*function, name + ".function.");
    if (!inner.text("name")) throw inner.missing("name", "a string");
    inner.object("parameters");
  }
  return tools;
}

struct ToolChoice {
  enum Kind { kAuto, kNone, kRequired } kind = kAuto;
  OrderedJson tools = OrderedJson::array();  // Those that may be called.
};

ToolChoice read_choice(const Fields& fields, const OrderedJson* tools) {
  ToolChoice choice;
  const OrderedJson* json = fields.find("tool_choice");
  if (tools == nullptr) {
    if (json != nullptr && !json->is_string()) throw fields.missing("tools", "the tool to choose");
    if (json != nullptr && *json == "required") throw fields.missing("tools", "a tool to call");
    choice.kind = ToolChoice::kNone;
    return choice;
  }
  choice.tools = *tools;
  if (json == nullptr || *json == "auto") return choice;
  if (*json == "none") {
    choice.kind = ToolChoice::kNone;
  } else if (*json == "required") {
    choice.kind = ToolChoice::kRequired;
  } else if (json->is_object()) {
    const Fields named(*json, "tool_choice.");
    const OrderedJson* function = named.object("function");
    if (function == nullptr) throw named.missing("function", "an object with a name");
    const auto name = Fields(*function, "tool_choice.function.").text("name");
    choice.kind = ToolChoice::kRequired;
    choice.tools = OrderedJson::array();
    for (const OrderedJson& tool : *tools) {
      if (name && tool["function"]["name"] == *name) choice.tools.push_back(tool);
    }
    if (choice.tools.empty()) throw fields.wrong("tool_choice", "the name of one of the tools");
  } else {
    throw fields.wrong("tool_choice", "\"auto\", \"none\", \"required\" or a function's name");
  }
  return choice;
}

// What a call needs: the words that begin it, and a grammar where there must be one.
void set_tools(ChatRequest& request, engine::TextRequest& text, const ToolChoice& choice,
               std::string& more, const ServedModel& model) {
  if (choice.kind == ToolChoice::kNone) return;
  if (!model.calls_tools()) {
    throw HttpError(400,
                    "tools: found, but the template of " + model.id +
                        " writes no tool calls that this server can read, expected no tools",
                    "tools");
  }
  request.tools = true;
  if (choice.kind != ToolChoice::kRequired) {
    if (text.grammar) {
      throw HttpError(400,
                      "tools: found together with a grammar or response_format, expected one of "
                      "them, or tool_choice \"none\"",
                      "tools");
    }
    return;
  }
  request.inside_call = true;
  more = model.tools().begin;
  try {
    text.grammar = call_grammar(model.tools(), choice.tools);
  } catch (const Error& e) {
    throw HttpError(400, std::string("tools: ") + e.what(), "tools");
  }
}

}  // namespace

std::string read_content(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) throw wrong_field(where, content, "a string or a list of parts");
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const std::string name = where + "[" + std::to_string(i) + "].";
    const Fields part(content[i], name);
    const auto type = part.text("type").value_or("text");
    if (type != "text" && type != "input_text" && type != "output_text") {
      throw part.wrong("type", "\"text\": this model reads nothing else");
    }
    const auto words = part.text("text");
    if (!words) throw part.missing("text", "a string");
    text += *words;
  }
  return text;
}

tokenizer::ChatMessage read_message(const OrderedJson& message, const std::string& where) {
  const Fields fields(message, where + ".");
  tokenizer::ChatMessage read;
  const auto role = fields.text("role");
  if (!role || role->empty()) throw fields.missing("role", "a string");
  // What OpenAI calls so now is what templates know as the system's words.
  read.role = *role == "developer" ? "system" : *role;
  const OrderedJson* calls = fields.array("tool_calls");
  const OrderedJson* content = fields.find("content");
  if (content != nullptr) {
    read.content = jinja::Value::text(read_content(*content, fields.name("content")));
  } else if (calls != nullptr) {
    read.content = jinja::Value::text("");
  } else {
    throw fields.missing("content", "a string or a list of parts");
  }
  if (calls != nullptr && !calls->empty()) {
    const std::string name = fields.name("tool_calls");
    read.more.set("tool_calls", as_value(with_objects(*calls, name), name));
  }
  for (const char* key : {"tool_call_id", "name", "reasoning_content"}) {
    if (const auto value = fields.text(key)) read.more.set(key, jinja::Value::text(*value));
  }
  return read;
}

tokenizer::ChatInput read_chat_input(const Fields& fields) {
  const OrderedJson* messages = fields.array("messages");
  if (messages == nullptr) throw fields.missing("messages", "a list of messages");
  if (messages->empty() || messages->size() > kMostMessages) {
    throw fields.wrong("messages", "1 to " + std::to_string(kMostMessages) + " messages");
  }
  tokenizer::ChatInput input;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    input.messages.push_back(read_message((*messages)[i], "messages[" + std::to_string(i) + "]"));
  }
  input.add_generation_prompt = fields.flag("add_generation_prompt").value_or(true);
  if (const OrderedJson* tools = read_tools(fields)) input.tools = as_value(*tools, "tools");
  if (const OrderedJson* more = fields.object("chat_template_kwargs")) {
    input.variables = as_value(*more, "chat_template_kwargs").as_dict();
  }
  return input;
}

void set_prompt(engine::TextRequest& text, const tokenizer::ChatInput& input,
                const std::string& more, const ServedModel& model) {
  const std::string prompt = model.render(input) + more;
  // A template writes the beginning token itself.
  text.prompt = model.encode(prompt, !model.chats(), true);
  if (text.prompt.empty()) text.prompt = model.encode("", true, true);
  model.require_fitting(text.prompt.size());
}

ChatRequest read_chat_request(const OrderedJson& body, const ServedModel& model,
                              const Limits& limits) {
  const Fields fields(body);
  check_model_name(fields, model);
  ChatRequest request;
  engine::TextRequest text = read_text_fields(fields, model, limits);
  text.limits.max_tokens =
      read_max_tokens(fields, {"max_completion_tokens", "max_tokens"}, SIZE_MAX);
  text.grammar = read_grammar(fields, limits);
  request.logprobs = fields.flag("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (top.value_or(0) > 0 && !request.logprobs)
    throw fields.wrong("top_logprobs", "logprobs: true");
  text.scores = request.logprobs;
  text.top = static_cast<std::size_t>(top.value_or(0));
  const auto choices = fields.integer("n", 1, static_cast<std::int64_t>(limits.choices));
  request.stream = fields.flag("stream").value_or(false);
  if (const OrderedJson* options = fields.object("stream_options")) {
    request.include_usage =
        Fields(*options, "stream_options.").flag("include_usage").value_or(false);
  }

  tokenizer::ChatInput input = read_chat_input(fields);
  const ToolChoice choice = read_choice(fields, read_tools(fields));
  if (choice.kind == ToolChoice::kNone) input.tools.reset();
  std::string more;
  set_tools(request, text, choice, more, model);
  set_prompt(text, input, more, model);
  copy_choices(request.texts, text, static_cast<std::size_t>(choices.value_or(1)));
  return request;
}

}  // namespace tern::server
