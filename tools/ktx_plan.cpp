// ktx-plan: shows where a rules file places a model on a machine, from the checkpoint's header
// alone.
#include "ktx/plan.hpp"

#include "ktx/bench.hpp"
#include "ktx/import.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/files.hpp"

namespace {

constexpr const char* footer = R"(
Prints the settings and where each came from, and for every module of the model: op and kernel (for
decode and prefill), device, format, NUMA policy, bytes, and the rule that decided. Needs neither the
weights nor the hardware:

  ktx-plan --rules my-box.yaml                          the model that the file names, on this box
  ktx-plan --rules my-box.yaml --model deepseek-v3/ --machine two-sockets.yaml --json
                                                        for a box as in examples/my-machine.yaml
  ktx-plan --rules my-box.yaml --why model.layers.7.mlp.experts
                                                        why one module is where it is
  ktx-plan --rules my-box.yaml --html plan.html         the plan as an HTML page: memory, devices, time
  ktx-plan --rules my-box.yaml --lint                   what runs but is probably not intended
  ktx-plan --diff my-box.yaml other.yaml                compare two plans
  ktx-plan --keywords                                   every keyword of a rules file, with its meaning
  ktx-plan --detect > box.yaml                          describe this machine, for --machine
  ktx-plan suggest --model deepseek-v3/ --machine box.yaml
                                                        a rules file for that box
  ktx-plan import FILE                                  rules of KTransformers, translated
  ktx-plan schema                                       JSON Schema of a rules file, for editors
)";

// Subcommands need no --rules. The callback runs before CLI11 checks for required options.
CLI::App* add_subcommand(CLI::App& app, const std::string& name, const std::string& what) {
  auto* sub = app.add_subcommand(name, what);
  sub->preparse_callback([&app](size_t) { app.get_option("--rules")->required(false); });
  return sub;
}

void add_suggest(CLI::App& app, ktx::SuggestOptions& options) {
  auto* sub = add_subcommand(app, "suggest", "write a rules file for a model on a machine");
  sub->footer(R"(
Prints the rules file whose plan is predicted to be fastest among those that fit the machine, and what
would make it faster. The goals stand for these prompts and answers, in tokens: decode 256 and 1024,
prefill 8192 and 64, balanced 2048 and 512.

  ktx-plan suggest --model DeepSeek-V3-Q4_K_M-00001-of-00009.gguf --machine box.yaml > my-box.yaml
  ktx-plan suggest --model deepseek-v3/ --machine box.yaml --vram 14GiB --goal decode
)");
  sub->add_option("-m,--model", options.model,
                  "a .gguf, the first file of a split, or a Hugging Face directory; its header is "
                  "enough")
      ->type_name("PATH")
      ->required();
  sub->add_option("--machine", options.machine,
                  "a YAML description of the machine; default: this one, measured")
      ->type_name("FILE");
  sub->add_option("-c,--context", options.context,
                  "tokens that a session can hold; no more than the model was trained for")
      ->type_name("N")
      ->check(ktx::tools::whole_number(1, 1 << 24))
      ->capture_default_str();
  sub->add_option("--sessions", options.sessions, "sessions that can run at once")
      ->type_name("N")
      ->check(ktx::tools::whole_number(1, 1024))
      ->capture_default_str();
  sub->add_option("--goal", options.goal, "what to optimize for")
      ->type_name("decode|prefill|balanced")
      ->capture_default_str();
  sub->add_option("--vram", options.vram, "the most memory of each GPU to use; default: all")
      ->type_name("SIZE")
      ->check(ktx::tools::not_empty);
}

void add_import(CLI::App& app, ktx::ImportOptions& options) {
  auto* sub = add_subcommand(app, "import", "translate KTransformers' or llama.cpp's placement");
  sub->footer(R"(
Prints a rules file that places every module of the model as the other program would. Comments name
what has no equivalent in ktx.

  ktx-plan import DeepSeek-V3-Chat-multi-gpu.yaml > my-box.yaml
  ktx-plan import --ot 'blk\.(3|4|5)\.ffn_.*=CUDA0,exps=CPU' --model deepseek-v3.gguf > my-box.yaml
)");
  auto* input = sub->add_option_group("input");
  input->add_option("file", options.ktransformers, "optimize rules of KTransformers")
      ->type_name("FILE");
  input
      ->add_option("--override-tensor,--ot", options.tensor_overrides,
                   "tensor overrides of llama.cpp; may be given several times")
      ->type_name("REGEX=BUFFER,...");
  input->require_option(1);
  sub->add_option(
         "--model,-m", options.model,
         "the model that the rules are for; its header is enough. Default: a published one "
         "of the kind that FILE names; for overrides, DeepSeek-V3")
      ->type_name("PATH");
}

// Refuses options of other modes, which would otherwise be ignored.
void refuse_others(const CLI::App& app, const std::string& mode, const std::string& but = {}) {
  const auto refuse = [&](const CLI::App& options) {
    for (const auto* option : options.get_options())
      if (option->count() > 0 && option->get_name() != mode && option->get_name() != but)
        throw CLI::ExcludesError(mode, option->get_name());
  };
  refuse(app);
  for (const auto* group : app.get_subcommands({}))
    if (group->get_name().empty()) refuse(*group);  // an option group
}

// What to print; by default the plan as text.
struct Printout {
  bool json = false, lint = false;
  std::string why;
  std::filesystem::path html;
  std::vector<std::filesystem::path> diff;
};

void add_printouts(CLI::App& app, Printout& printout) {
  auto* group = app.add_option_group("printouts", "instead of the plan as text");
  group->add_flag("--json", printout.json, "print one JSON object");
  group
      ->add_option("--why", printout.why,
                   "explain the placement of one module: rules tried, kernels skipped, memory, "
                   "predicted time")
      ->type_name("MODULE")
      ->check(ktx::tools::not_empty);
  group->add_option("--html", printout.html, "write the plan as one self-contained HTML page")
      ->type_name("FILE")
      ->check(ktx::tools::not_empty);
  group->add_flag("--lint", printout.lint, "print what runs but is probably not intended");
  group
      ->add_option("--diff", printout.diff,
                   "compare the plans of two rules files; needs no --rules")
      ->type_name("A.yaml B.yaml")
      ->expected(2)
      ->each([&app](const std::string&) { app.get_option("--rules")->required(false); });
  group->require_option(0, 1);
}

std::string lint_text(const ktx::Plan& plan) {
  std::string text;
  for (const auto& line : plan.lint()) text += line + "\n";
  return text.empty() ? "no warnings\n" : text;
}

void print_plan(const Printout& printout, ktx::PlanOptions options) {
  options.header_only = true;
  options.measure = options.machine.empty();
  if (!printout.diff.empty()) options.rules = printout.diff.front();
  const auto plan = ktx::make_plan(options);
  if (!printout.html.empty()) {
    ktx::tools::write_file(printout.html, plan.html());
    return;
  }
  ktx::tools::print(printout.json            ? plan.json() + "\n"
                    : printout.lint          ? lint_text(plan)
                    : !printout.why.empty()  ? plan.why(printout.why)
                    : !printout.diff.empty() ? plan.diff(printout.diff.back())
                                             : plan.text());
}

}  // namespace

int main(int argc, char** argv) {
  ktx::PlanOptions options;
  ktx::SuggestOptions for_suggest;
  ktx::ImportOptions for_import;
  Printout printout;
  bool keywords = false, detect = false;
  CLI::App app("Print the plan of a model on a machine", "ktx-plan");
  app.footer(footer);
  ktx::tools::add_plan_options(app, options);
  add_printouts(app, printout);
  // These need no --rules. They run before CLI11 checks for required options.
  const auto needs_no_rules = [&app](bool& given) {
    return [&app, &given] {
      given = true;
      app.get_option("--rules")->required(false);
    };
  };
  app.add_flag_callback("--detect", needs_no_rules(detect),
                        "print a description of this machine for --machine: what it has, and the "
                        "speeds it reaches, including the disk of --model");
  app.add_flag_callback("--keywords", needs_no_rules(keywords),
                        "print the keywords of a rules file and exit");
  add_suggest(app, for_suggest);
  add_import(app, for_import);
  add_subcommand(app, "schema", "print the JSON Schema of a rules file, for editors");
  return ktx::tools::run_tool(app, argc, argv, [&] {
    for (const auto* sub : app.get_subcommands()) refuse_others(app, sub->get_name());
    if (detect) refuse_others(app, "--detect", "--model");
    if (keywords) refuse_others(app, "--keywords");
    if (!printout.diff.empty() && app.count("--rules") > 0)
      throw CLI::ExcludesError("--diff", "--rules");
    if (app.got_subcommand("suggest")) {
      ktx::tools::print(ktx::suggest_rules(for_suggest));
      return;
    }
    if (app.got_subcommand("import")) {
      ktx::tools::print(ktx::import_rules(for_import));
      return;
    }
    if (app.got_subcommand("schema")) {
      ktx::tools::print(ktx::rules_schema());
      return;
    }
    if (detect) {
      ktx::tools::print(ktx::describe_machine(options.model));
      return;
    }
    if (keywords) {
      ktx::tools::print(ktx::rules_reference());
      return;
    }
    print_plan(printout, options);
  });
}
