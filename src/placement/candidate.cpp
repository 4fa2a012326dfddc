// Candidates as rules files.
#include "placement/candidate.hpp"

#include <algorithm>
#include <limits>

#include "core/base/text.hpp"
#include "placement/kernel_choice.hpp"

namespace ktx::placement {

namespace {

constexpr uint64_t gib = uint64_t{1} << 30;

/// A size of at most that many bytes.
std::string size_text(uint64_t bytes) {
  constexpr uint64_t mib = uint64_t{1} << 20;
  return bytes >= 4 * gib ? std::to_string(bytes / gib) + "GiB"
                          : std::to_string(bytes / mib) + "MiB";
}

std::string list_of(const std::vector<size_t>& gpus) {
  std::vector<std::string> names;
  for (const size_t i : gpus) names.push_back("'cuda:" + std::to_string(i) + "'");
  return names.size() == 1 ? names.front() : "[" + base::join(names) + "]";
}

std::string on_gpus(const std::vector<size_t>& gpus) {
  return "device: " + list_of(gpus) + (gpus.size() > 1 ? ", spread: layers" : "");
}

/// ", KEY: VALUE" of a flow mapping; empty if the value is the default.
std::string entry(const std::string& key, const std::string& value) {
  return value.empty() || value == "keep" ? std::string() : ", " + key + ": " + value;
}

/// Writes the rules of one candidate.
class Writer {
 public:
  Writer(const Candidate& candidate, const graph::Model& model, const hw::Machine& machine)
      : c_(candidate), model_(model), machine_(machine) {
    rest_ = c_.experts == Experts::cpu ? "device: cpu" + entry("numa", c_.numa) : on_gpus(c_.gpus);
  }

  std::string rules() {
    if (routed_experts(model_) != nullptr) add_experts();
    add_embedding();
    add_head();
    if (c_.dense != "keep")
      add("linear layers", "{class: linear}", rest_ + entry("format", c_.dense));
    add(text_.empty() ? "everything" : "everything else", "{name: '.*'}", rest_);
    return text_;
  }

 private:
  void add(const std::string& name, const std::string& match, const std::string& place) {
    text_ += "  - name: " + name + "\n    match: " + match + "\n    place: {" + place + "}\n";
  }

  // The rule for everything else covers them, unless they need one of their own.
  void add_experts() {
    const std::string match = "{class: moe.experts}";
    if (c_.experts == Experts::cpu || c_.experts == Experts::gpu) {
      if (c_.format != "keep") add("routed experts", match, rest_ + entry("format", c_.format));
      return;
    }
    text_ += "  - name: routed experts\n    match: " + match + "\n    place:\n      device: cpu\n";
    if (c_.format != "keep") text_ += "      format: " + c_.format + "\n";
    if (!c_.numa.empty()) text_ += "      numa: " + c_.numa + "\n";
    if (keeps_residents(c_.experts))
      text_ += "      experts: {vram: " + size_text(room_on_gpus(c_.gpus, machine_)) +
               (streams(c_.experts) ? "" : ", on: " + list_of(c_.gpus)) +
               "}   # what is left there holds some, which run there\n";
    if (streams(c_.experts))
      text_ += "    prefill: {" + on_gpus(c_.gpus) +
               ", stream: yes}   # prompts share them with the " +
               (c_.gpus.size() > 1 ? "GPUs" : "GPU") + "\n";
  }

  void add_embedding() {
    if (c_.experts == Experts::cpu) return;
    if (c_.experts == Experts::gpu && embedding_refusal(model_).empty()) return;
    add("embedding                     # a token reads one row of it", "{class: embedding}",
        "device: cpu");
  }

  void add_head() {
    if (c_.dense.starts_with("int4"))
      add("head                          # it alone turns states into tokens", "{class: head}",
          rest_ + entry("format", "int8"));
  }

  const Candidate& c_;
  const graph::Model& model_;
  const hw::Machine& machine_;
  std::string rest_;  // the place of everything else
  std::string text_;
};

}  // namespace

const graph::Module* routed_experts(const graph::Model& model) {
  const auto found = std::ranges::find_if(
      model.modules, [](const auto& m) { return m.unused.empty() && m.op == "moe"; });
  return found == model.modules.end() ? nullptr : &*found;
}

std::string embedding_refusal(const graph::Model& model) {
  const auto found = std::ranges::find(model.modules, "embedding", &graph::Module::op);
  if (found == model.modules.end()) return {};
  const quant::Format formats[] = {found->weights.front().source};
  return gpu_refusal(graph::Op::embedding, *found, formats);
}

uint64_t room_on_gpus(const std::vector<size_t>& gpus, const hw::Machine& machine) {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const size_t i : gpus) least = std::min(least, machine.gpus[i].memory_bytes);
  return least - std::min(gib, least / 8);
}

bool keeps_residents(Experts experts) noexcept {
  return experts == Experts::resident || experts == Experts::resident_streamed;
}

bool streams(Experts experts) noexcept {
  return experts == Experts::streamed || experts == Experts::resident_streamed;
}

std::string rules_text(const Candidate& candidate, const graph::Model& model,
                       const hw::Machine& machine, const SuggestOptions& options) {
  std::string text = "ktx: 1\nmodel: {path: " + base::yaml_quoted(options.model) +
                     "}\ncontext: " + std::to_string(options.context) + "\n";
  if (options.sessions > 1) text += "sessions: " + std::to_string(options.sessions) + "\n";
  text += "prefill_chunk: " + std::to_string(candidate.chunk) + "\nrules:\n";
  return text + Writer(candidate, model, machine).rules();
}

}  // namespace ktx::placement
