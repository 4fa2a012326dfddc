// Two plans side by side.
#include "placement/explain/diff.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/table.hpp"

namespace ktx::placement {

namespace {

// The parts of a module's placement that a rule decides.
constexpr std::pair<const char*, std::string FoldedModule::*> properties[] = {
    {"op", &FoldedModule::op},
    {"device", &FoldedModule::device},
    {"format", &FoldedModule::format},
    {"numa", &FoldedModule::numa},
};

struct Difference {
  std::string path, what, a, b;
  std::vector<int> layers;
};

void check_same_model(const Plan& a, const Plan& b) {
  const auto& ours = a.model.modules;
  const auto& theirs = b.model.modules;
  const auto [left, right] =
      std::ranges::mismatch(ours, theirs, {}, &graph::Module::path, &graph::Module::path);
  if (left == ours.end() && right == theirs.end()) return;
  const auto name = [](const Plan& plan) {
    return plan.model.info.name.empty() ? plan.model.info.architecture : plan.model.info.name;
  };
  const std::string only = left != ours.end() ? left->path : right->path;
  throw_input("plans of different models can't be compared", b.rules_file,
              {a.rules_file + ": " + name(a) + ", " + plural(ours.size(), "module"),
               b.rules_file + ": " + name(b) + ", " + plural(theirs.size(), "module"),
               "only one of them has " + only, "--model gives both the same"});
}

// [Plan::modules] the folded module that each belongs to.
std::vector<const FoldedModule*> by_module(const Plan& plan,
                                           const std::vector<FoldedModule>& folded) {
  std::vector<const FoldedModule*> rows(plan.modules.size());
  for (const auto& row : folded)
    for (const size_t module : row.modules) rows[module] = &row;
  return rows;
}

std::vector<Difference> differences(const Plan& a, const Plan& b) {
  const auto folded_a = folded_modules(a), folded_b = folded_modules(b);
  const auto of_a = by_module(a, folded_a), of_b = by_module(b, folded_b);
  std::vector<Difference> out;
  for (size_t i = 0; i < of_a.size(); ++i)
    for (const auto& property : properties) {
      const auto& what = property.first;
      const auto& left = (*of_a[i]).*property.second;
      const auto& right = (*of_b[i]).*property.second;
      if (left == right) continue;
      auto row = std::ranges::find_if(out, [&](const auto& d) {
        return d.path == of_a[i]->path && d.what == what && d.a == left && d.b == right;
      });
      if (row == out.end()) row = out.insert(out.end(), {of_a[i]->path, what, left, right, {}});
      if (const int layer = a.module_of(a.modules[i]).layer; layer >= 0)
        row->layers.push_back(layer);
    }
  return out;
}

std::string modules_section(const std::vector<Difference>& all) {
  if (all.empty()) return "\nno module is placed differently\n";
  std::vector<Row> rows{{"module", "layers", "what", "A", "B"}};
  for (const auto& d : all) rows.push_back({d.path, layers_text(d.layers), d.what, d.a, d.b});
  return "\nmodules that differ\n" + table(rows);
}

// The model's path may be given relative to each file.
std::vector<Row> settings_that_differ(const Plan& a, const Plan& b) {
  std::vector<Row> rows;
  const auto value = [](const Plan& plan, const std::string& name) -> std::string {
    const auto found = std::ranges::find(plan.settings, name, &PlannedSetting::name);
    return found == plan.settings.end() ? "-" : found->value;
  };
  for (const auto& setting : a.settings)
    if (value(b, setting.name) != setting.value)
      rows.push_back({setting.name, setting.value, value(b, setting.name)});
  for (const auto& setting : b.settings)
    if (std::ranges::find(a.settings, setting.name, &PlannedSetting::name) == a.settings.end())
      rows.push_back({setting.name, "-", setting.value});
  return rows;
}

std::string settings_section(std::vector<Row> rows) {
  if (rows.empty()) return "";
  rows.insert(rows.begin(), {"", "A", "B"});
  return "\nsettings that differ\n" + table(rows);
}

std::vector<Row> memory_rows(const Plan& a, const Plan& b) {
  std::vector<std::string> devices;
  for (const auto* plan : {&a, &b})
    for (const auto& memory : plan->devices)
      if (std::ranges::find(devices, memory.device) == devices.end())
        devices.push_back(memory.device);
  std::ranges::sort(devices);
  std::vector<Row> rows;
  for (const auto& device : devices) {
    const auto bytes = [&](const Plan& plan) {
      const auto* memory = plan.find_device(device);
      return memory == nullptr ? 0 : memory->most();
    };
    const auto left = bytes(a), right = bytes(b);
    const std::string sign = right > left ? "+" : right < left ? "-" : "";
    const uint64_t change = right > left ? right - left : left - right;
    rows.push_back({device, base::format_bytes(left), base::format_bytes(right),
                    sign.empty() ? "=" : sign + base::format_bytes(change)});
  }
  return rows;
}

Row rate_row(const std::string& name, double a, double b) {
  const auto text = [](double rate) {
    return rate > 0 ? base::format_number(rate) : std::string("-");
  };
  Row row{name, text(a), text(b)};
  if (a <= 0 || b <= 0) return row;
  const double change = 100 * (b / a - 1);
  row.push_back(a == b ? "="
                       : (change > 0 ? "+" : "-") + base::format_number(std::abs(change)) + " %");
  return row;
}

std::vector<Row> rate_rows(const Plan& a, const Plan& b) {
  std::vector<Row> rows{rate_row("decode", a.predicted_decode, b.predicted_decode)};
  const auto rate = [](const Plan& plan, int64_t tokens) {
    const auto found = std::ranges::find(plan.predicted_prefill, tokens, &PredictedPrefill::tokens);
    return found == plan.predicted_prefill.end() ? 0 : found->rate;
  };
  const auto& longer = a.predicted_prefill.size() > b.predicted_prefill.size() ? a : b;
  for (const auto& [tokens, unused] : longer.predicted_prefill)
    rows.push_back(
        rate_row("prefill of " + std::to_string(tokens), rate(a, tokens), rate(b, tokens)));
  return rows;
}

bool equal_sides(const std::vector<Row>& rows) {
  return std::ranges::all_of(rows, [](const auto& row) { return row[1] == row[2]; });
}

}  // namespace

std::string diff(const Plan& a, const Plan& b) {
  check_same_model(a, b);
  const auto modules = differences(a, b);
  const auto settings = settings_that_differ(a, b);
  auto memory = memory_rows(a, b), rates = rate_rows(a, b);
  const std::string head = "A  " + a.rules_file + "\nB  " + b.rules_file + "\n";
  if (modules.empty() && settings.empty() && equal_sides(memory) && equal_sides(rates))
    return head + "\nno difference: " + plural(a.modules.size(), "module") +
           ", settings, memory and predictions are equal\n";
  memory.insert(memory.begin(), {"", "A", "B", "B - A"});
  rates.insert(rates.begin(), {"", "A", "B", ""});
  return head + modules_section(modules) + settings_section(settings) + "\nmemory\n" +
         table(memory) + "\npredicted tokens/s\n" + table(rates);
}

}  // namespace ktx::placement
