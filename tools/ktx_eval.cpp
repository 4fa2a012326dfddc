// ktx-eval: numbers to judge a model and a plan by: perplexity, logits, token ids, rendered chats.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "ktx/checkpoint.hpp"
#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "tools/common/chat.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/files.hpp"
#include "tools/common/json.hpp"
#include "tools/common/progress.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library
using tools::Json;

// -log of the softmax of logits at id, in double.
double negative_log_likelihood(const float* logits, int vocab, int32_t id) {
  const double most = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]) - most);
  return most + std::log(sum) - static_cast<double>(logits[id]);
}

struct PerplexityOptions {
  PlanOptions plan;
  std::filesystem::path text;
  int64_t window = 512, windows = 0;
  EvaluateOptions evaluate;
  bool json = false;
};

// Each window is scored on its own: BOS and all but its last token in, its tokens predicted.
double window_nll(Engine& engine, std::span<const int32_t> window, const EvaluateOptions& options) {
  std::vector<int32_t> input(window.begin(), window.end());
  input.pop_back();
  const auto bos = engine.tokenizer().bos();
  if (bos) input.insert(input.begin(), *bos);
  const size_t lead = bos ? 1 : 0;
  Session session(engine);
  double nll = 0;
  const auto add_rows = [&](int64_t first, int64_t rows, const float* logits) {
    for (int64_t r = 0; r < rows; ++r) {
      // Row r has read `first + r + 1` inputs, `lead` of which are no part of the window.
      const int64_t predicted = first + r + 1 - static_cast<int64_t>(lead);
      nll += negative_log_likelihood(logits + r * engine.vocab_size(), engine.vocab_size(),
                                     window[static_cast<size_t>(predicted)]);
    }
  };
  session.evaluate(input, add_rows, options);
  return nll;
}

// The ids of the windows to score, one after the other.
std::vector<int32_t> read_windows(const PerplexityOptions& o, const Tokenizer& tokenizer) {
  auto ids = tokenizer.encode(tools::read_file(o.text));
  const auto size = static_cast<size_t>(o.window);
  size_t windows = ids.size() / size;
  if (o.windows > 0) windows = std::min(windows, static_cast<size_t>(o.windows));
  if (windows == 0)
    throw Error(ErrorCategory::input,
                "the text has " + std::to_string(ids.size()) +
                    " tokens: expected at least one window of " + std::to_string(size),
                o.text.string());
  ids.resize(windows * size);
  return ids;
}

void perplexity(const PerplexityOptions& o) {
  const auto plan = tools::make_plan_for(o.plan, o.window);
  const auto ids = read_windows(o, plan.tokenizer());  // before minutes of loading
  auto engine = tools::load_engine(plan);
  const auto size = static_cast<size_t>(o.window);
  double nll = 0;
  int64_t tokens = 0;
  for (size_t first = 0; first < ids.size(); first += size) {
    nll += window_nll(engine, {ids.data() + first, size}, o.evaluate);
    tokens += o.window - (engine.tokenizer().bos() ? 0 : 1);
  }
  nll /= static_cast<double>(tokens);
  if (o.json)
    tools::print(tools::to_line({{"nll", nll}, {"ppl", std::exp(nll)}, {"tokens", tokens}}));
  else
    tools::print("perplexity " + std::to_string(std::exp(nll)) + ", nll " + std::to_string(nll) +
                 " over " + std::to_string(tokens) + " tokens\n");
  tools::finish_cache(engine);
}

struct LogitsOptions {
  PlanOptions plan;
  std::vector<int32_t> ids;
  EvaluateOptions evaluate;
  std::filesystem::path out;
};

void logits(const LogitsOptions& o) {
  tools::check_writable(o.out);  // before minutes of loading
  auto engine = tools::load_engine(make_plan(o.plan));
  Session session(engine);
  std::vector<float> rows;
  const auto add_rows = [&](int64_t, int64_t count, const float* numbers) {
    rows.insert(rows.end(), numbers, numbers + count * engine.vocab_size());
  };
  session.evaluate(o.ids, add_rows, o.evaluate);
  write_safetensors(o.out,
                    {{"logits", {static_cast<int64_t>(o.ids.size()), engine.vocab_size()}, rows}});
  tools::finish_cache(engine);
}

struct TokenizeOptions {
  std::filesystem::path model, lines;
  std::string text;
};

void tokenize(const TokenizeOptions& o) {
  const auto tokenizer = Tokenizer::open(o.model);
  if (o.lines.empty()) {
    tools::print(tools::to_line(tokenizer.encode(o.text)));
    return;
  }
  const Json lines = Json::parse(tools::read_file(o.lines), nullptr, false);
  if (!lines.is_array() ||
      !std::all_of(lines.begin(), lines.end(), [](const Json& l) { return l.is_string(); }))
    throw Error(ErrorCategory::input, "expected a JSON array of strings", o.lines.string());
  Json out = Json::array();
  for (const auto& line : lines) out.push_back(tokenizer.encode(line.get<std::string>()));
  tools::print(tools::to_line(out));
}

struct ChatCommand {
  std::filesystem::path model, messages;
  ChatOptions options;
  bool no_prompt = false;
};

void chat(ChatCommand o) {
  o.options.generation_prompt = !o.no_prompt;
  const auto messages = tools::read_file(o.messages);
  tools::print(o.model.empty() ? render_chat(messages, o.options)
                               : Tokenizer::open(o.model).render_chat(messages, o.options));
}

constexpr const char* footer = R"(
  ktx-eval perplexity -m model/ --rules rules.yaml --text eval.txt --windows 24
  ktx-eval logits -m model/ --rules rules.yaml --ids 0,5,7 --out logits.safetensors
  ktx-eval tokenize -m model/ --text "Hello, world!"
  ktx-eval chat -m model/ --messages messages.json --set enable_thinking=false
  ktx-eval chat --template chat_template.jinja --messages messages.json --tools tools.json
)";

void add_evaluate_options(CLI::App& sub, EvaluateOptions& o) {
  sub.add_flag("--decode", o.as_decoded,
               "run each token in a decode step of its own, as if it had been generated");
}

void add_perplexity(CLI::App& app, PerplexityOptions& o) {
  auto* sub = app.add_subcommand("perplexity",
                                 "exp of the mean negative log likelihood of a text's tokens");
  sub->footer(
      "\nThe text is encoded once and cut into windows; each is run on its own, after BOS. A rest\n"
      "shorter than a window is left out.\n");
  tools::add_plan_options(*sub, o.plan);
  sub->add_option("--text", o.text, "the text to score")->required()->type_name("FILE");
  sub->add_option("--window", o.window, "tokens per window")
      ->check(tools::whole_number(2, 1 << 20))
      ->capture_default_str();
  sub->add_option("--windows", o.windows, "score the first N windows only")
      ->type_name("N")
      ->check(tools::whole_number(1));
  add_evaluate_options(*sub, o.evaluate);
  sub->add_flag("--json", o.json, R"(print {"nll", "ppl", "tokens"})");
}

void add_logits(CLI::App& app, LogitsOptions& o) {
  auto* sub = app.add_subcommand("logits", "the logits after each of the given tokens");
  tools::add_plan_options(*sub, o.plan);
  tools::add_list(*sub, "--ids", o.ids, "token ids, the first usually BOS", tools::whole_number(0))
      ->required()
      ->type_name("ID,...");
  add_evaluate_options(*sub, o.evaluate);
  sub->add_option("--out", o.out, "safetensors file: logits f32 [tokens, vocab]")
      ->required()
      ->type_name("FILE");
}

void add_tokenize(CLI::App& app, TokenizeOptions& o) {
  auto* sub = app.add_subcommand("tokenize", "token ids of a text, as JSON");
  sub->footer("\nSpecial tokens written in the text are recognised; none is added.\n");
  sub->add_option(
         "--model,-m", o.model,
         "a .gguf, tokenizer.json or tiktoken.model, or a directory with one of the last two")
      ->required()
      ->type_name("PATH");
  auto* input = sub->add_option_group("input");
  input->add_option("--text", o.text, "one text: prints an array of ids");
  input->add_option("--lines", o.lines, "a JSON array of strings: prints an array of arrays")
      ->type_name("FILE");
  input->require_option(1);
}

void add_chat(CLI::App& app, ChatCommand& o) {
  auto* sub = app.add_subcommand("chat", "the text that a chat template renders from messages");
  sub->footer("\nPrints exactly that text, no line end after it.\n");
  auto* model = sub->add_option("--model,-m", o.model, "whose template and special tokens to use")
                    ->type_name("PATH");
  tools::add_chat_options(*sub, o.options);
  auto* file = sub->get_option("--template");
  sub->add_option("--messages", o.messages, R"(a JSON array: [{"role": "user", "content": "Hi"}])")
      ->required()
      ->type_name("FILE");
  sub->add_flag("--no-generation-prompt", o.no_prompt,
                "omit what begins the assistant's next reply");
  sub->callback([model, file] {
    if (model->count() + file->count() == 0) throw CLI::RequiredError("--model or --template");
  });
}

}  // namespace

int main(int argc, char** argv) {
  PerplexityOptions for_perplexity;
  LogitsOptions for_logits;
  TokenizeOptions for_tokenize;
  ChatCommand for_chat;
  CLI::App app("Measure the quality of a model under a plan", "ktx-eval");
  app.footer(footer);
  app.require_subcommand(1);
  add_perplexity(app, for_perplexity);
  add_logits(app, for_logits);
  add_tokenize(app, for_tokenize);
  add_chat(app, for_chat);
  return tools::run_tool(app, argc, argv, [&] {
    if (app.got_subcommand("perplexity"))
      perplexity(for_perplexity);
    else if (app.got_subcommand("logits"))
      logits(for_logits);
    else if (app.got_subcommand("chat"))
      chat(for_chat);
    else
      tokenize(for_tokenize);
  });
}
