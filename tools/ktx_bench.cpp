// ktx-bench: prefill and decode speed of a model under its rules, or of kernels alone, against what
// this machine itself reaches.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "ktx/bench.hpp"
#include "ktx/error.hpp"
#include "ktx/profile.hpp"
#include "ktx/session.hpp"
#include "tools/common/bench_rows.hpp"
#include "tools/common/bench_sessions.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/earlier_rows.hpp"
#include "tools/common/files.hpp"
#include "tools/common/json.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/text.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library
using tools::Json;

struct Arguments {
  PlanOptions plan;
  std::vector<int64_t> prompts{512};
  int64_t decode = 128;
  std::vector<int> decode_experts{0};  // a token's, a row each; 0: as planned
  int64_t depth = 0;
  int repeat = 5;
  bool json = false;
  std::filesystem::path trace;  // of the profile; empty: none
};

struct KernelArguments {
  KernelBenchOptions bench;
  std::vector<int64_t> layer_tokens{512, 2048};  // with all experts
  std::filesystem::path compare;                 // with an earlier --json; empty: none
  AttentionBenchOptions attention;               // with --op mla
  bool json = false;
};

constexpr const char* footer = R"(
  ktx-bench -m model.gguf --rules rules.yaml                  512 tokens of prefill, 128 of decode, 5 times
  ktx-bench -m model.gguf --rules rules.yaml -p 512,2048 -n 64 --json
  ktx-bench -m model.gguf --rules rules.yaml --decode-experts 8,6     two rows of decoding
  ktx-bench -m model.gguf --rules rules.yaml --sessions 8     also eight sessions that decode together
  ktx-bench -m model.gguf --rules rules.yaml --profile        where the time of a step goes
  ktx-bench kernels --formats q4_k,int8                       kernels alone, on cold weights

Each row is the median of the repetitions and their spread, (largest - smallest) / median. Every
repetition starts from an empty cache; one more, not counted, warms up. GB/s counts the weights that a
decoded token reads, TFLOP/s two operations for each weight that a token of a prompt is multiplied by.
'predicted' is what the plan says of a machine whose figures it knows (--machine). The percentages
are of what this machine reached in the same run: its read bandwidth, and its fastest
multiply-adds of any data type. With --sessions it is measured how long a decoding session waits for its
next token while another one reads the longest prompt.

--profile runs a slice of the first prompt length and a decode step behind --depth tokens, and tells for each
what CPU and GPUs computed, copied and waited for, in microseconds a layer; of several such steps the one of
median time. Who spins or polls waits; 'neither works' is the time in which nothing computes or copies.
--profile trace.json writes the timeline too, for chrome://tracing or ui.perfetto.dev.
)";

constexpr const char* kernels_footer = R"(
Every call multiplies by other experts (op linear: by another matrix) than the calls before it, out of
so many that no cache holds a part worth mentioning. 'tokens' is of each active expert; the layer's
tokens are spread evenly over the active experts, 8 a token. Each row is the median of the repetitions
and their spread, (slowest - fastest) / median. The percentages are of this machine's own read bandwidth,
measured just before and after the row with the largest number of threads, and of its fastest
multiply-adds of the row's data type.

--all-experts calls all routed experts of a layer instead, as other programs time them: 'tokens' is of the
layer, 8 different experts a token, some experts busier than others as under a real router, the same draw in
every run. The milliseconds are the layer's; all of its experts have to fit the memory.

--op mla measures attention of one layer of DeepSeek-V3 instead while it decodes: a token of each of the
batch's sequences, behind a context of so many tokens; formats are those of k_b and v_b. TFLOP/s count its
products with k_b and v_b too, GB/s these and the cache; the percentage is of the fastest multiply-adds of
the type in which scores and values are computed.

--compare FILE adds how many times as fast each row is as in FILE, an earlier output of --json.

  ktx-bench kernels --all-experts --tokens 512,2048 --formats int4/64,q4_k
  ktx-bench kernels --formats q4_k --tokens-per-expert 1 -t 8,12,16
  ktx-bench kernels --formats q4_k --json > before.json
  ktx-bench kernels --formats q4_k --compare before.json
  ktx-bench kernels --op mla --context 33,4096,32768 --batch 1,8
)";

using tools::machine_json;
using tools::machine_text;
using tools::percent;
using tools::rate_cells;
using tools::Row;
using tools::summarize;

Row bench_prefill(Session& session, const Plan& plan, int64_t tokens, int vocab, int repeat) {
  const auto ids = some_tokens(tokens, vocab);
  std::vector<double> rates;
  for (int i = 0; i <= repeat; ++i) {
    session.rewind(0);
    const auto result = session.generate(ids, {.max_new_tokens = 0});
    if (i > 0) rates.push_back(static_cast<double>(tokens) / result.prefill_seconds);
  }
  auto row = summarize("prefill " + std::to_string(tokens), std::move(rates));
  row.predicted = plan.predicted_prefill(tokens);
  row.ops_per_second = row.median * 2 * plan.weights_per_token();
  return row;
}

// experts: a token's; 0: as planned.
Row bench_decode(Session& session, const Plan& plan, const Arguments& a, int vocab, int experts) {
  const auto prompt = some_tokens(1, vocab);
  std::vector<double> rates;
  session.rewind(0);
  if (a.depth > 0) session.generate(some_tokens(a.depth, vocab), {.max_new_tokens = 0});
  for (int i = 0; i <= a.repeat; ++i) {
    session.rewind(a.depth);
    // The first of the generated tokens comes from the prompt's step.
    const auto result =
        session.generate(prompt, {.max_new_tokens = a.decode + 1, .experts_per_token = experts});
    if (i > 0) rates.push_back(static_cast<double>(result.decode_tokens) / result.decode_seconds);
  }
  auto row = summarize("decode " + std::to_string(a.decode) +
                           (a.depth > 0 ? " after " + std::to_string(a.depth) : "") +
                           (experts > 0 ? ", " + std::to_string(experts) + " experts" : ""),
                       std::move(rates));
  if (experts > 0) return row;  // the plan's figures are of the planned number
  row.predicted = plan.predicted_decode(a.depth + a.decode / 2);
  row.bytes_per_second = row.median * static_cast<double>(plan.bytes_per_token());
  return row;
}

// ---- output ----

double best_peak(const MachineSpeed& machine) {
  const auto* best = machine.best_peak();
  return best != nullptr ? best->ops_per_second : 0;
}

std::string markdown(const std::vector<Row>& rows, const MachineSpeed& machine) {
  std::string out =
      "| test | tokens/s | spread | predicted | GB/s | of read bandwidth | TFLOP/s | of peak |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const auto& row : rows)
    out += "| " + row.test + " | " + tools::short_number(row.median) + " | " +
           tools::short_number(row.spread * 100) + " % | " +
           (row.predicted > 0 ? tools::short_number(row.predicted) : "") + " | " +
           rate_cells(row.bytes_per_second, 1e9, machine.read_bandwidth) + " | " +
           rate_cells(row.ops_per_second, 1e12, best_peak(machine)) + " |\n";
  return out + machine_text(machine);
}

Json to_json(const std::vector<Row>& rows, const Plan& plan, const MachineSpeed& machine) {
  Json out = {{"machine", machine_json(machine)},
              {"bytes_per_token", plan.bytes_per_token()},
              {"weights_per_token", plan.weights_per_token()},
              {"rows", Json::array()}};
  for (const auto& row : rows) {
    Json entry = {{"test", row.test}, {"tokens_per_second", row.median}, {"spread", row.spread}};
    if (row.predicted > 0) entry["predicted_tokens_per_second"] = row.predicted;
    if (row.bytes_per_second > 0) {
      entry["gbytes_per_second"] = row.bytes_per_second / 1e9;
      entry["percent_of_bandwidth"] = percent(row.bytes_per_second, machine.read_bandwidth);
    }
    if (row.ops_per_second > 0) {
      entry["tflops"] = row.ops_per_second / 1e12;
      entry["percent_of_peak"] = percent(row.ops_per_second, best_peak(machine));
    }
    out["rows"].push_back(entry);
  }
  return out;
}

std::string kernels_header(bool compares) {
  return std::string(
             "| op | format | kernel | tokens | experts | threads | ms | spread | GB/s | of "
             "read ") +
         "bandwidth | TFLOP/s | of peak |" + (compares ? " times as fast |\n" : "\n") +
         "|---|---|---|---|---|---|---|---|---|---|---|---|" + (compares ? "---|\n" : "\n");
}

std::string markdown(const KernelRow& row) {
  return "| " + row.op + " | " + row.format + " | " + row.kernel + " | " +
         std::to_string(row.tokens) + " | " + std::to_string(row.active_experts) + " of " +
         std::to_string(row.experts) + " | " + std::to_string(row.threads) + " | " +
         tools::short_number(row.seconds * 1e3) + " | " + tools::short_number(row.spread * 100) +
         " % | " + rate_cells(row.bytes_per_second, 1e9, row.read_bandwidth) + " | " +
         rate_cells(row.ops_per_second, 1e12, row.peak) + " " + row.type + " |";
}

using Earlier = std::optional<tools::EarlierRows>;

std::string comparison_cell(const KernelRow& row, const Earlier& earlier) {
  if (!earlier) return {};
  const auto speedup = earlier->speedup(row);
  return speedup ? " " + tools::short_number(*speedup) + " |" : " |";
}

// A row of kernels or of attention, which says what it is, with what was measured.
template <class Row>
Json with_rates(Json entry, const Row& row) {
  entry.update({{"seconds", row.seconds},
                {"spread", row.spread},
                {"gbytes_per_second", row.bytes_per_second / 1e9},
                {"read_bandwidth", row.read_bandwidth},
                {"percent_of_bandwidth", percent(row.bytes_per_second, row.read_bandwidth)},
                {"tflops", row.ops_per_second / 1e12},
                {"type", row.type},
                {"peak", row.peak},
                {"percent_of_peak", percent(row.ops_per_second, row.peak)}});
  return entry;
}

Json to_json(const KernelRow& row) {
  return with_rates({{"op", row.op},
                     {"format", row.format},
                     {"kernel", row.kernel},
                     {row.op == "layer" ? "tokens" : "tokens_per_expert", row.tokens},
                     {"active_experts", row.active_experts},
                     {"experts", row.experts},
                     {"threads", row.threads},
                     {"weight_bytes", row.weight_bytes}},
                    row);
}

Json to_json(const KernelBench& bench, const KernelBenchOptions& options, const Earlier& earlier) {
  Json out = {{"machine", machine_json(bench.machine)},
              {"hidden", options.hidden},
              {"intermediate", options.intermediate},
              {"rows", Json::array()}};
  for (const auto& row : bench.rows) {
    auto entry = to_json(row);
    if (earlier)
      if (const auto speedup = earlier->speedup(row)) entry["times_as_fast"] = *speedup;
    out["rows"].push_back(std::move(entry));
  }
  return out;
}

constexpr const char* attention_header =
    "| format | kernel | cache | context | batch | ms | spread | GB/s | of read bandwidth | "
    "TFLOP/s "
    "| of peak |\n|---|---|---|---|---|---|---|---|---|---|---|\n";

std::string markdown(const AttentionRow& row) {
  return "| " + row.format + " | " + row.kernel + " | " + row.cache + " | " +
         std::to_string(row.context) + " | " + std::to_string(row.batch) + " | " +
         tools::short_number(row.seconds * 1e3) + " | " + tools::short_number(row.spread * 100) +
         " % | " + rate_cells(row.bytes_per_second, 1e9, row.read_bandwidth) + " | " +
         rate_cells(row.ops_per_second, 1e12, row.peak) + " " + row.type + " |\n";
}

Json to_json(const AttentionBench& bench) {
  Json out = {{"machine", machine_json(bench.machine)}, {"rows", Json::array()}};
  for (const auto& row : bench.rows)
    out["rows"].push_back(with_rates({{"op", "mla"},
                                      {"format", row.format},
                                      {"kernel", row.kernel},
                                      {"cache", row.cache},
                                      {"context", row.context},
                                      {"batch", row.batch},
                                      {"weight_bytes", row.weight_bytes},
                                      {"cache_bytes", row.cache_bytes}},
                                     row));
  return out;
}

// ---- the modes ----

void profile_model(const Arguments& a) {
  if (!a.trace.empty()) tools::check_writable(a.trace);
  const int64_t prompt = a.prompts.front();
  const auto plan = tools::make_plan_for(a.plan, std::max(prompt, a.depth + 1));
  auto engine = tools::load_engine(plan);
  tools::finish_cache(engine);  // writing it takes memory bandwidth
  const auto report =
      profile_steps(engine, {.prompt = prompt, .depth = a.depth, .repeat = a.repeat});
  tools::print(profile_table(report.prefill) + "\n" + profile_table(report.decode));
  if (!a.trace.empty()) tools::write_file(a.trace, chrome_trace(report));
}

void bench_model(const Arguments& a) {
  const int64_t longest = *std::max_element(a.prompts.begin(), a.prompts.end());
  const auto plan = tools::make_plan_for(a.plan, std::max(longest, a.depth + a.decode + 1));
  const auto machine = measure_machine();
  auto engine = tools::load_engine(plan);
  tools::finish_cache(engine);  // writing it takes memory bandwidth
  Session session(engine);
  std::vector<Row> rows;
  for (const int64_t tokens : a.prompts)
    rows.push_back(bench_prefill(session, engine.plan(), tokens, engine.vocab_size(), a.repeat));
  for (const int experts : a.decode_experts)
    if (a.decode > 0)
      rows.push_back(bench_decode(session, engine.plan(), a, engine.vocab_size(), experts));
  session.rewind(0);
  std::optional<tools::Gap> gap;
  ExpertUse experts;
  if (engine.plan().sessions() > 1) {
    if (a.decode > 0) {
      auto together = tools::bench_together(engine, a.decode, a.repeat);
      rows.push_back(std::move(together.row));
      experts = together.experts;
    }
    gap = tools::bench_gap(engine, longest);
  }
  if (!a.json)
    return tools::print(markdown(rows, machine) +
                        (experts.layers > 0 ? tools::experts_text(experts, machine) : "") +
                        (gap ? tools::gap_text(*gap) : ""));
  auto out = to_json(rows, engine.plan(), machine);
  if (experts.layers > 0)
    out["experts_together"] = {{"layers", experts.layers},
                               {"distinct", experts.experts},
                               {"bytes", experts.bytes},
                               {"seconds", experts.seconds}};
  if (gap)
    out["gap"] = {{"prompt", gap->prompt},
                  {"longest_seconds", gap->longest},
                  {"layer_seconds", gap->layer},
                  {"decode_seconds", gap->decode}};
  tools::print(tools::to_line(out));
}

// Tables are printed row by row, as they are measured.

void bench_attention(KernelArguments a) {
  if (!a.compare.empty() || a.bench.all_experts || a.bench.threads.size() > 1)
    throw ktx::Error(
        ktx::ErrorCategory::input,
        "op mla takes neither --compare nor --all-experts, and one number of --threads");
  if (!a.bench.formats.empty()) a.attention.formats = a.bench.formats;
  a.attention.kernels = a.bench.kernels;
  if (!a.bench.threads.empty()) a.attention.threads = a.bench.threads.front();
  a.attention.repeat = a.bench.repeat;
  if (a.json) return tools::print(tools::to_line(to_json(ktx::bench_attention(a.attention))));
  bool first = true;
  a.attention.on_row = [&](const AttentionRow& row) {
    tools::print((first ? attention_header : "") + markdown(row));
    first = false;
  };
  tools::print(machine_text(ktx::bench_attention(a.attention).machine));
}

void bench_kernels(KernelArguments a) {
  if (a.bench.op == "mla") return bench_attention(std::move(a));
  if (a.bench.all_experts) a.bench.tokens = a.layer_tokens;
  Earlier earlier;
  if (!a.compare.empty()) earlier.emplace(a.compare, a.bench);
  if (a.json)
    return tools::print(tools::to_line(to_json(ktx::bench_kernels(a.bench), a.bench, earlier)));
  bool first = true;
  a.bench.on_row = [&](const KernelRow& row) {
    if (first) tools::print(kernels_header(earlier.has_value()));
    tools::print(markdown(row) + comparison_cell(row, earlier) + "\n");
    first = false;
  };
  tools::print(machine_text(ktx::bench_kernels(a.bench).machine));
}

// ---- command line ----

void add_output_options(CLI::App& app, bool& json) {
  auto* flag = app.add_flag("--json", json, "print one JSON object");
  app.add_flag("--markdown")->description("print a Markdown table; the default")->excludes(flag);
}

void add_model_options(CLI::App& app, Arguments& a) {
  tools::add_plan_options(app, a.plan);
  tools::add_list(app, "-p,--prefill", a.prompts, "prompt lengths in tokens",
                  tools::whole_number(1, 1 << 20))
      ->type_name("N,...");
  app.add_option("-d,--depth", a.depth, "tokens in the cache before decoding begins; default: 0")
      ->check(tools::whole_number(0, 1 << 20));
  app.add_option("-n,--decode", a.decode, "tokens to decode after a prompt of one token; 0: none")
      ->type_name("N")
      ->check(tools::whole_number(0, 1 << 20))
      ->capture_default_str();
  tools::add_list(app, "--decode-experts", a.decode_experts,
                  "experts per token while decoding, a row for each number; default: as planned",
                  tools::whole_number(1, 1 << 20))
      ->type_name("K,...");
  app.add_option("-r,--repeat", a.repeat, "repetitions of each row")
      ->type_name("N")
      ->check(tools::whole_number(1, 1000))
      ->capture_default_str();
  add_output_options(app, a.json);
  app.add_option("--profile", a.trace,
                 "measure where the time of a slice and of a decode step goes")
      ->type_name("[FILE]")
      ->expected(0, 1)
      ->excludes("--json");
}

void add_kernels(CLI::App& app, KernelArguments& a) {
  auto* sub = app.add_subcommand("kernels", "measure kernels alone, on cold weights");
  sub->footer(kernels_footer);
  auto& o = a.bench;
  sub->add_option("--op", o.op, "routed experts (moe), one matrix (linear) or attention (mla)")
      ->type_name("moe|linear|mla")
      ->check(CLI::IsMember({"moe", "linear", "mla"}))
      ->capture_default_str();
  tools::add_list(*sub, "--formats", o.formats,
                  "formats, as in rules; default: those of large models")
      ->type_name("NAME,...");
  tools::add_list(*sub, "--kernels", o.kernels, "kernels, as in rules; default: auto, the best")
      ->type_name("NAME,...");
  auto* of_expert = tools::add_list(*sub, "--tokens-per-expert", o.tokens,
                                    "tokens per active expert", tools::whole_number(1))
                        ->type_name("N,...");
  auto* all = sub->add_flag("--all-experts", o.all_experts, "all routed experts of a layer at once")
                  ->excludes(of_expert);
  tools::add_list(*sub, "--tokens", a.layer_tokens, "with --all-experts: tokens of the layer",
                  tools::whole_number(1))
      ->type_name("N,...")
      ->needs(all);
  sub->add_option("--experts", o.experts,
                  "experts in memory; default: more than caches hold, with --all-experts 256")
      ->type_name("N")
      ->check(tools::whole_number(1));
  sub->add_option("--hidden", o.hidden, "width of the model")
      ->type_name("N")
      ->check(tools::whole_number(1))
      ->capture_default_str();
  sub->add_option("--intermediate", o.intermediate,
                  "width of an expert; linear: rows of the matrix")
      ->type_name("N")
      ->check(tools::whole_number(1))
      ->capture_default_str();
  tools::add_list(*sub, "--context", a.attention.contexts, "op mla: tokens of each sequence",
                  tools::whole_number(1))
      ->type_name("N,...");
  tools::add_list(*sub, "--batch", a.attention.batches, "op mla: sequences that decode together",
                  tools::whole_number(1))
      ->type_name("N,...");
  sub->add_option("--cache", a.attention.cache, "op mla: format of the cache, as in rules")
      ->type_name("NAME")
      ->capture_default_str();
  sub->add_option("--layers", a.attention.layers,
                  "op mla: layers in memory; default: more than caches hold")
      ->type_name("N")
      ->check(tools::whole_number(1, 1024));
  tools::add_list(*sub, "-t,--threads", o.threads,
                  "CPU threads, each number in turn; default: one per physical core",
                  tools::whole_number(1, 4096))
      ->type_name("N,...");
  sub->add_option("-r,--repeat", o.repeat, "repetitions of each row")
      ->type_name("N")
      ->check(tools::whole_number(1, 1000))
      ->capture_default_str();
  sub->add_option("--compare", a.compare, "an earlier output of --json to compare with")
      ->type_name("FILE");
  add_output_options(*sub, a.json);
  // A model and its rules belong to the other mode.
  sub->preparse_callback([&app](size_t) {
    for (auto* option : app.get_options()) option->required(false);
  });
}

}  // namespace

int main(int argc, char** argv) {
  Arguments for_model;
  KernelArguments for_kernels;
  CLI::App app("Measure prefill and decode of a model, or kernels alone", "ktx-bench");
  app.footer(footer);
  add_model_options(app, for_model);
  add_kernels(app, for_kernels);
  return tools::run_tool(app, argc, argv, [&] {
    if (app.got_subcommand("kernels"))
      bench_kernels(for_kernels);
    else if (app.count("--profile") > 0)
      profile_model(for_model);
    else
      bench_model(for_model);
  });
}
