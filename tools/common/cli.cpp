// Parsing, error reporting and exit codes of every tool.
#include "tools/common/cli.hpp"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <sstream>

#include "ktx/error.hpp"
#include "ktx/log.hpp"
#include "tools/common/fault.hpp"

namespace ktx::tools {

namespace {

std::string tool_name;  // for warnings

void add_expert_options(CLI::App& app, PlanOptions& options) {
  app.add_option_function<int>(
         "--experts-per-token,-k",
         [&options](const int& count) { options.experts_per_token = count; },
         "routed experts per token; default: the rules file's, else the model's")
      ->type_name("K")
      ->check(whole_number(1));
  app.add_option_function<int>(
         "--max-experts", [&options](const int& count) { options.max_experts = count; },
         "the most experts per token that a request may ask for; default: the model's or the "
         "rules file's, whichever is more")
      ->type_name("K")
      ->check(whole_number(1));
}

void add_session_options(CLI::App& app, PlanOptions& options) {
  app.add_option("--context,--cache-length,-c", options.cache_length,
                 "tokens that a session can hold; default: the model's context, at most 4096")
      ->type_name("N")
      ->check(whole_number(1, 1 << 24));
  app.add_option("--sessions", options.sessions, "sessions that can run at once; default: 1")
      ->type_name("N")
      ->check(whole_number(1, 1024));
  app.add_option("--cache-format", options.cache_format, "format of the KV cache; default: bf16")
      ->type_name("f32|bf16|fp8")
      ->check(not_empty);
  app.add_option("--prefill-chunk", options.prefill_chunk,
                 "tokens of a prompt that run at once; default: 2048")
      ->type_name("N")
      ->check(whole_number(1, 65535));
  app.add_flag_callback(
      "--deterministic", [&options] { options.deterministic = true; },
      "a request always gives the same text, whatever runs beside it");
}

}  // namespace

const CLI::Validator not_empty(
    [](const std::string& text) -> std::string {
      return text.empty() ? "expected a name, found an empty text" : "";
    },
    "");

void add_plan_options(CLI::App& app, PlanOptions& options) {
  app.add_option("--rules", options.rules,
                 "the rules file that places every module; options override its settings")
      ->required()
      ->type_name("FILE")
      ->check(not_empty);
  app.add_option("--model,-m", options.model,
                 "a .gguf, the first file of a split, or a Hugging Face directory; default: the "
                 "rules file's model")
      ->type_name("PATH")
      ->check(not_empty);
  app.add_option("--machine", options.machine,
                 "a YAML description of the machine; default: this one, as detected")
      ->type_name("FILE")
      ->check(not_empty);
  app.add_option(
         "--tokenizer", options.tokenizer,
         "a .gguf, tokenizer.json or tiktoken.model, or a directory with one of the last two; "
         "default: the model's own")
      ->type_name("PATH")
      ->check(not_empty);
  app.add_option("--override", options.overrides,
                 "replace a key of config.json (rope_scaling.factor=40) or of the GGUF metadata "
                 "(deepseek2.rope.scaling.factor=40); may be given several times")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--ignore-unused", options.ignore_unused,
               "run a model without the tensors and keys that ktx does not support, which changes "
               "its answers");
  app.add_option("--threads,-t", options.threads, "CPU threads; default: one per physical core")
      ->type_name("N")
      ->check(whole_number(1, 4096));
  app.add_option("--decode-threads", options.decode_threads,
                 "CPU threads of decode steps; default: --threads if given, else measured")
      ->type_name("N")
      ->check(whole_number(1, 4096));
  add_expert_options(app, options);
  add_session_options(app, options);
  app.add_option("--cache", options.weights_cache,
                 "keep packed weights in this directory and map them on the next start")
      ->type_name("DIR")
      ->check(not_empty);
}

Plan make_plan_for(PlanOptions options, int64_t tokens) {
  auto plan = make_plan(options);
  if (plan.cache_length() >= tokens) return plan;
  options.cache_length = tokens;
  return make_plan(options);
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error(ErrorCategory::environment,
                std::string("can't be written: ") + std::strerror(errno), "standard output");
}

namespace {

// The whole text as a number in decimal.
template <class T>
std::optional<T> parsed(std::string_view text) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_whole(std::string_view text, int64_t least, uint64_t most) {
  const bool negative = text.starts_with('-');
  const auto digits = text.substr(negative ? 1 : 0);
  const bool octal = digits.size() > 1 && digits.front() == '0';
  if (negative) return !octal && parsed<int64_t>(text).value_or(least - 1) >= least;
  const auto value = parsed<uint64_t>(text);
  return !octal && value && *value <= most &&
         (least <= 0 || *value >= static_cast<uint64_t>(least));
}

}  // namespace

CLI::Validator whole_number(int64_t least, uint64_t most) {
  const auto range = "from " + std::to_string(least) + " to " + std::to_string(most);
  return CLI::Validator(
      [=](const std::string& text) -> std::string {
        if (is_whole(text, least, most)) return {};
        return "expected a whole number " + range + ", found '" + text + "'";
      },
      "");
}

CLI::Validator number_that_is(const std::string& what, const std::function<bool(double)>& holds) {
  return CLI::Validator(
      [what, holds](const std::string& text) -> std::string {
        const auto value = parsed<double>(text);
        // A NaN is not at most anything.
        if (value && std::abs(*value) <= std::numeric_limits<float>::max() && holds(*value))
          return {};
        return "expected a number" + (what.empty() ? "" : " " + what) + ", found " + text;
      },
      what);
}

std::vector<std::string> list_values(const std::string& option,
                                     const std::vector<std::string>& texts,
                                     const CLI::Validator& check) {
  std::vector<std::string> values;
  for (const auto& text : texts) {
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
      end = text.find(',', begin);
      const auto& value = values.emplace_back(text.substr(begin, end - begin));
      if (value.empty())
        throw CLI::ValidationError(option, "expected values between commas, found '" + text + "'");
      if (const auto refusal = check(value); !refusal.empty())
        throw CLI::ValidationError(option, refusal);
    }
  }
  return values;
}

void warn(std::string_view message) {
  std::fprintf(stderr, "%s: warning: %.*s\n", tool_name.c_str(), static_cast<int>(message.size()),
               message.data());
}

int run_tool(CLI::App& app, int argc, char** argv, const std::function<void()>& body,
             const std::string& built_with) {
  const std::string name = tool_name = app.get_name();
  app.set_version_flag("--version",
                       name + " " KTX_VERSION + (built_with.empty() ? "" : "\n" + built_with),
                       "print the version and exit");
  set_log_sink([](LogLevel, std::string_view message) { warn(message); }, LogLevel::warning);
  install_fault_handler(name);
  try {
    try {
      app.parse(argc, argv);
      body();
      return exit_done;
    } catch (const CLI::ParseError& e) {
      std::ostringstream out;
      if (app.exit(e, out) != 0) return exit_usage;
      print(out.str());
      return exit_done;
    }
  } catch (const Error& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
    if (e.category() == ErrorCategory::bug)
      std::fprintf(stderr, "  note: this is a mistake in ktx itself; please report it\n");
    if (e.where().starts_with("--")) return exit_usage;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
  }
  return exit_failed;
}

}  // namespace ktx::tools
