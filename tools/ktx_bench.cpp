// ktx-bench: prefill and decode speed of a model under its rules, against this machine's own
// bandwidth.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "ktx/session.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/json.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/text.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library
using tools::Json;

struct Arguments {
  PlanOptions plan;
  LoadOptions load;
  std::vector<int64_t> prompts{512};
  int64_t decode = 128;
  int repeat = 5;
  bool json = false;
};

constexpr const char* footer = R"(
  ktx-bench -m model.gguf --rules rules.yaml                  512 tokens of prefill, 128 of decode, 5 times
  ktx-bench -m model.gguf --rules rules.yaml -p 512,2048 -n 64 --json

Each row is the median of the repetitions and their spread, (largest - smallest) / median. Every
repetition starts from an empty cache; one more, not counted, warms up. For decode, GB/s counts the
weights that a token reads, and the percentage is of the read bandwidth that this machine reached in
the same run.
)";

struct Row {
  std::string test;
  double median = 0, spread = 0;   // tokens/s; spread relative to the median
  double gbytes = 0, percent = 0;  // decode only
};

Row summarize(std::string test, std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  // The middle value, or the mean of the two in the middle.
  const double median = (rates[(rates.size() - 1) / 2] + rates[rates.size() / 2]) / 2;
  return {
      .test = std::move(test), .median = median, .spread = (rates.back() - rates.front()) / median};
}

// Token ids all over the vocabulary, so that the experts are chosen as a real text would.
std::vector<int32_t> some_ids(int64_t count, int vocab) {
  std::vector<int32_t> ids;
  uint32_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    ids.push_back(static_cast<int32_t>(state % static_cast<uint32_t>(vocab)));
  }
  return ids;
}

Row bench_prefill(Session& session, int64_t tokens, int vocab, int repeat) {
  const auto ids = some_ids(tokens, vocab);
  std::vector<double> rates;
  for (int i = 0; i <= repeat; ++i) {
    session.rewind(0);
    const auto result = session.generate(ids, {.max_new_tokens = 0});
    if (i > 0) rates.push_back(static_cast<double>(tokens) / result.prefill_seconds);
  }
  return summarize("prefill " + std::to_string(tokens), std::move(rates));
}

Row bench_decode(Session& session, const Plan& plan, int64_t tokens, int vocab, int repeat) {
  const auto prompt = some_ids(1, vocab);
  std::vector<double> rates;
  for (int i = 0; i <= repeat; ++i) {
    session.rewind(0);
    // The first of the generated tokens comes from the prompt's step.
    const auto result = session.generate(prompt, {.max_new_tokens = tokens + 1});
    if (i > 0) rates.push_back(static_cast<double>(result.decode_tokens) / result.decode_seconds);
  }
  auto row = summarize("decode " + std::to_string(tokens), std::move(rates));
  row.gbytes = row.median * static_cast<double>(plan.bytes_per_token()) / 1e9;
  if (plan.read_bandwidth() > 0) row.percent = row.gbytes * 1e11 / plan.read_bandwidth();
  return row;
}

std::string markdown(const std::vector<Row>& rows, const Plan& plan) {
  std::string out =
      "| test | tokens/s | spread | GB/s | of read bandwidth |\n|---|---|---|---|---|\n";
  for (const auto& row : rows) {
    out += "| " + row.test + " | " + tools::short_number(row.median) + " | " +
           tools::short_number(row.spread * 100) + " % | ";
    out += row.gbytes > 0 ? tools::short_number(row.gbytes) + " | " +
                                tools::short_number(row.percent) + " % |\n"
                          : std::string("| |\n");
  }
  return out + "\nread bandwidth of this machine, all cores: " +
         tools::short_number(plan.read_bandwidth() / 1e9) + " GB/s\n";
}

Json to_json(const std::vector<Row>& rows, const Plan& plan) {
  Json out = {{"read_bandwidth", plan.read_bandwidth()},
              {"bytes_per_token", plan.bytes_per_token()},
              {"rows", Json::array()}};
  for (const auto& row : rows) {
    Json entry = {{"test", row.test}, {"tokens_per_second", row.median}, {"spread", row.spread}};
    if (row.gbytes > 0) {
      entry["gbytes_per_second"] = row.gbytes;
      entry["percent_of_bandwidth"] = row.percent;
    }
    out["rows"].push_back(entry);
  }
  return out;
}

void bench(Arguments a) {
  const int64_t longest = *std::max_element(a.prompts.begin(), a.prompts.end());
  a.plan.cache_length = std::max({a.plan.cache_length, longest, a.decode + 1});
  a.plan.measure = true;
  auto engine = tools::load_engine(make_plan(a.plan), a.load);
  Session session(engine);
  std::vector<Row> rows;
  for (const int64_t tokens : a.prompts)
    rows.push_back(bench_prefill(session, tokens, engine.vocab_size(), a.repeat));
  if (a.decode > 0)
    rows.push_back(bench_decode(session, engine.plan(), a.decode, engine.vocab_size(), a.repeat));
  tools::print(a.json ? tools::to_line(to_json(rows, engine.plan()))
                      : markdown(rows, engine.plan()));
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Measure prefill and decode", "ktx-bench");
  app.footer(footer);
  tools::add_plan_options(app, a.plan);
  tools::add_load_options(app, a.load);
  app.add_option("-p,--prefill", a.prompts, "prompt lengths in tokens")
      ->delimiter(',')
      ->type_name("N,...")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-n,--decode", a.decode, "tokens to decode after a prompt of one; 0: none")
      ->type_name("N")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("-r,--repeat", a.repeat, "repetitions of each row")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--json", a.json, "print one JSON object instead of a Markdown table");
  return tools::run_tool(app, argc, argv, [&] { bench(a); });
}
