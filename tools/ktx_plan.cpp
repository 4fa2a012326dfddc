// ktx-plan: what a rules file does to a model on a machine, from the header alone.
#include "ktx/plan.hpp"

#include "tools/common/cli.hpp"

namespace {

constexpr const char* footer = R"(
Prints the settings and who gave each, and for every module of the model: op and kernel (prefill and
decode), device, format, NUMA policy, bytes, and the rule that decided. Neither the weights nor the hardware are needed:

  ktx-plan --rules my-box.yaml                          the model that the file names, on this box
  ktx-plan --rules my-box.yaml --model deepseek-v3/ --machine two-sockets.yaml --json
                                                        for a box as in examples/my-machine.yaml
  ktx-plan --keywords                                   every keyword of a rules file, with its meaning
)";

}  // namespace

int main(int argc, char** argv) {
  ktx::PlanOptions options;
  bool json = false, keywords = false;
  CLI::App app("Print the plan of a model on a machine", "ktx-plan");
  app.footer(footer);
  ktx::tools::add_plan_options(app, options);
  app.add_option("--machine", options.machine, "plan for the box described in this YAML file")
      ->type_name("FILE");
  app.add_flag("--json", json, "print one JSON object");
  app.add_flag_callback(
      "--keywords",
      [&] {  // runs before CLI11 looks for what is required
        keywords = true;
        app.get_option("--rules")->required(false);
      },
      "print the keywords of a rules file and exit");
  return ktx::tools::run_tool(app, argc, argv, [&] {
    if (keywords) {
      ktx::tools::print(ktx::rules_reference());
      return;
    }
    options.header_only = true;
    options.measure = options.machine.empty();
    const auto plan = ktx::make_plan(options);
    ktx::tools::print(json ? plan.json() + "\n" : plan.text());
  });
}
