// ktx-synth: random weights in the shape and layout of published models.
#include "ktx/synth.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "tools/common/cli.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/text.hpp"

namespace {

using namespace ktx;  // the whole file is a client of the library

constexpr const char* footer = R"(
  ktx-synth --arch deepseek-v3 --dense-layers 1 --moe-layers 6 --mix q4_k_m --out slice.gguf
  ktx-synth --arch deepseek-v3 --dense-layers 1 --moe-layers 4 --experts 64 --out small.gguf
  ktx-synth --arch kimi-k2 --dense-layers 1 --moe-layers 2 --mix fp8 --out kimi-fp8/
  ktx-synth --arch qwen3-235b --moe-layers 2 --set vocab_size=32000 --dry-run --out qwen.gguf

Speed depends on shapes and formats, not on what the numbers are: such a file measures a model
without its weights. Without a file the other commands take the same as a model:
--model synth:deepseek-v3,mix=q4_k_m,dense=1,moe=4,experts=64. Its tokenizer reads text byte by byte; what it writes means nothing. The same
options and seed give the same bytes.
)";

// Ctrl-C removes what was written: a signal handler can reach globals only.
std::atomic<bool> interrupted{false};

void on_interrupt(int) {
  interrupted = true;
}

std::string choices(const std::vector<SynthChoice>& all) {
  std::string text;
  for (const auto& choice : all)
    text += (text.empty() ? "" : ", ") + choice.name + " (" + choice.doc + ")";
  return text;
}

/// "vocab_size=32000"
std::pair<std::string, int64_t> parse_size(const std::string& text) {
  const size_t sign = text.find('=');
  size_t used = 0;
  try {
    if (sign != std::string::npos && sign > 0) {
      const std::string number = text.substr(sign + 1);
      const int64_t value = std::stoll(number, &used);
      if (used == number.size()) return {text.substr(0, sign), value};
    }
  } catch (const std::exception&) {  // no number, or one too large
  }
  throw CLI::ValidationError("--set", "expected NAME=NUMBER, found '" + text + "'");
}

void write(SynthOptions& options, bool dry_run) {
  const uint64_t bytes = synth_bytes(options);
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  const std::string size = options.out.string() + ": " + std::to_string(bytes) + " bytes, " +
                           tools::short_number(gigabytes) + " GB";
  if (dry_run) {
    tools::print(size + "\n");
    return;
  }
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  SynthReport report;
  {
    tools::ProgressBar bar("writing");
    options.progress = [&bar](const SynthProgress& p) {
      bar.update({.module = p.file, .done = p.done, .total = p.total});
      return !interrupted;
    };
    report = synthesize(options);
  }
  tools::print(size + ", " + tools::short_number(static_cast<double>(report.weights) / 1e9) +
               " G weights, in " + tools::short_number(report.seconds) +
               " s: " + tools::short_number(gigabytes / report.seconds) + " GB/s\n");
}

}  // namespace

int main(int argc, char** argv) {
  SynthOptions options;
  std::vector<std::string> sizes;
  bool dry_run = false;
  CLI::App app("Write random weights in the shape and layout of a published model", "ktx-synth");
  app.footer(footer);
  app.add_option("--arch", options.model, choices(synth_models()))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--mix", options.mix, choices(synth_mixes()))
      ->type_name("NAME")
      ->capture_default_str();
  app.add_option("--out,-o", options.out,
                 "what to write: a name that ends in .gguf, or a directory for safetensors")
      ->required()
      ->type_name("PATH");
  app.add_option("--dense-layers", options.dense_layers,
                 "layers without experts; default: the model's")
      ->type_name("N")
      ->check(tools::whole_number(0));
  app.add_option("--moe-layers", options.moe_layers, "layers with experts; default: the model's")
      ->type_name("N")
      ->check(tools::whole_number(0));
  app.add_option("--experts", options.experts, "routed experts per layer; default: the model's")
      ->type_name("N")
      ->check(tools::whole_number(1));
  app.add_option("--set", sizes, "change a size of the model, by its name in config.json")
      ->type_name("NAME=N");
  app.add_option("--seed", options.seed, "seed of the random numbers")
      ->type_name("N")
      ->check(tools::whole_number(0, std::numeric_limits<uint64_t>::max()))
      ->capture_default_str();
  app.add_option("--threads,-t", options.threads,
                 "threads that write; default: one per CPU, at most 8")
      ->type_name("N")
      ->check(tools::whole_number(1, 4096));
  app.add_flag("--dry-run", dry_run, "only print how large it would be");
  return tools::run_tool(app, argc, argv, [&] {
    for (const auto& size : sizes) options.sizes.insert(parse_size(size));
    write(options, dry_run);
  });
}
