// Overrides are evaluated on the names of the model's tensors, and what they take is described in
// modules and layers.
#include "placement/import/tensor_overrides.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/device/place.hpp"
#include "placement/import/gguf_names.hpp"
#include "placement/import/rules_text.hpp"
#include "placement/import/selection.hpp"

namespace ktx::placement {

namespace {

struct Override {
  std::string pattern, buffer;  // as written
  text::Regex regex;
  int gpu = -1;        // -1: the CPU
  std::string remark;  // what of the buffer has no equal; may be empty
};

struct BufferKind {
  std::string_view begin;  // of its name; after a GPU's comes the number, after '_' a word
  bool gpu;
  std::string_view remark;
};
constexpr std::string_view other_gpu =
    "ktx runs on CPUs and NVIDIA's GPUs; a GPU of the same number stands for it";
constexpr std::array buffers{
    BufferKind{"CUDA_Host", false, "ktx pins by itself what a GPU reads from RAM"},
    BufferKind{"CPU_", false, "ktx packs weights for the CPU's kernels by itself"},
    BufferKind{"CPU", false, ""},
    BufferKind{"CUDA", true, ""},
    BufferKind{"ROCm", true, other_gpu},
    BufferKind{"Vulkan", true, other_gpu},
    BufferKind{"SYCL", true, other_gpu},
};

std::string place(size_t column) {
  return "--ot, column " + std::to_string(column + 1);
}

[[noreturn]] void throw_unknown(const std::string& buffer, size_t column) {
  throw_input("unknown buffer '" + buffer + "'", place(column),
              base::suggestions(buffer, {"CPU", "CUDA0", "CUDA1"}, "buffers"));
}

bool is_word(std::string_view text) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return !text.empty() && std::ranges::all_of(text, fits);
}

void set_device(Override& out, size_t column) {
  const auto kind = std::ranges::find_if(buffers, [&](const BufferKind& row) {
    if (!out.buffer.starts_with(row.begin)) return false;
    const auto rest = std::string_view(out.buffer).substr(row.begin.size());
    return row.gpu || (row.begin.ends_with('_') ? is_word(rest) : rest.empty());
  });
  if (kind == buffers.end()) throw_unknown(out.buffer, column);
  out.remark = kind->remark;
  if (!kind->gpu) return;
  const auto number = out.buffer.substr(kind->begin.size());
  const auto device = device::parse_device("cuda:" + number);
  if (number.empty() || !device) throw_unknown(out.buffer, column);
  out.gpu = device->index;
}

std::string device_name(int gpu) {
  return gpu < 0 ? "cpu" : "cuda:" + std::to_string(gpu);
}

// As in llama.cpp, commas separate overrides, and the first '=' separates pattern and buffer.
std::vector<Override> parse(const std::string& text) {
  std::vector<Override> out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const auto part = text.substr(begin, end - begin);
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0)
      throw_input("expected regex=BUFFER, found '" + part + "'", place(begin),
                  {"an example: --ot 'exps=CPU'; overrides are separated by commas, so a regex "
                   "can't contain one"});
    Override next{part.substr(0, equals),
                  part.substr(equals + 1),
                  text::Regex(part.substr(0, equals), place(begin)),
                  -1,
                  {}};
    set_device(next, begin + equals + 1);
    out.push_back(std::move(next));
    begin = end + 1;
  }
  return out;
}

/// The share of each override in a module's weights, by override number; -1: no override.
using Shares = std::map<int, int64_t>;

class Importer {
 public:
  Importer(const std::string& text, const ImportTarget& target)
      : target_(target),
        overrides_(parse(text)),
        open_(run_modules(target.model)),
        decided_(open_.size(), -1),
        text_("llama.cpp's --override-tensor '" + text +
              "', translated by ktx-plan import for the modules of " + target.name +
              ".\nWhat no override takes lies where --n-gpu-layers 99 puts it. What has no equal "
              "in ktx stands in a comment.") {}

  std::string run() {
    for (const auto& override : overrides_) last_gpu_ = std::max(last_gpu_, override.gpu);
    for (size_t i = 0; i < open_.size(); ++i)
      if (open_[i]) decide(i);
    for (size_t r = 0; r < overrides_.size(); ++r) write_override(r);
    write_rest();
    return text_.text();
  }

 private:
  int first_override(const std::string& tensor) const {
    const auto found =
        std::ranges::find_if(overrides_, [&](const Override& o) { return o.regex.search(tensor); });
    return found == overrides_.end() ? -1 : static_cast<int>(found - overrides_.begin());
  }

  // The GPU of modules without an override: the first, or one of several.
  bool same_device(int a, int b) const {
    const auto gpu = [&](int number) {
      return number < 0 ? (last_gpu_ > 0 ? last_gpu_ + 1 : 0)
                        : overrides_[static_cast<size_t>(number)].gpu;
    };
    return gpu(a) == gpu(b);
  }

  // All weights of a module get one place: the CPU if some of them belong there, since it has the
  // memory; otherwise the place of most of them. Less than a hundredth, such as a bias, is ignored.
  void decide(size_t number) {
    const auto& module = target_.model.modules[number];
    Shares shares;
    int64_t all = 0;
    for (const auto& tensor : gguf_tensors(module, target_.naming)) {
      const int by = first_override(tensor.name);
      shares[by] += tensor.weights;
      all += tensor.weights;
      if (by >= 0) matched_.insert(by);
    }
    std::erase_if(shares, [&](const auto& share) { return share.second * 100 < all; });
    if (shares.empty()) return;  // an op without weights: with the rest
    auto decides = std::ranges::max_element(shares, {}, &Shares::value_type::second);
    for (auto share = shares.begin(); share != shares.end(); ++share)
      if (share->first >= 0 && overrides_[static_cast<size_t>(share->first)].gpu < 0)
        decides = share;
    decided_[number] = decides->first;
    const bool split = std::ranges::any_of(
        shares, [&](const auto& share) { return !same_device(share.first, decides->first); });
    if (split) split_[decides->first].push_back(&module);
  }

  void write_override(size_t number) {
    const auto& override = overrides_[number];
    const auto index = static_cast<int>(number);
    ModuleSet modules(open_.size());
    for (size_t i = 0; i < modules.size(); ++i) modules[i] = open_[i] && decided_[i] == index;
    text_.section(override.pattern + "=" + override.buffer);
    if (!override.remark.empty())
      text_.comment("no equal: " + override.buffer + ": " + override.remark);
    tell_split(index);
    if (!matched_.contains(index))
      text_.comment("no equal: no tensor of the model matches that an earlier override leaves");
    else if (is_empty(modules))
      text_.comment("no equal: another override decides for its modules, all of their weights");
    write("override " + std::to_string(number + 1), modules, override.gpu);
  }

  void tell_split(int by) {
    const auto found = split_.find(by);
    if (found == split_.end()) return;
    const auto& modules = found->second;
    const auto more = modules.size() - 1;
    const bool experts = std::ranges::any_of(
        modules, [](const auto* module) { return module->classes.front() == "moe.experts"; });
    text_.comment(
        "no equal: a module's weights lie on one device in ktx, and overrides part those "
        "of " +
        modules.front()->path + (more > 0 ? " and " + std::to_string(more) + " more" : "") +
        (experts ? "; to fill a GPU with whole experts: place: {device: cpu, experts: {vram: SIZE}}"
                 : ""));
  }

  // The last GPUs, if there are fewer modules than GPUs: the one left over is usually the head.
  WrittenPlace gpus(size_t most) const {
    WrittenPlace place;
    for (int gpu = std::max(0, last_gpu_ + 1 - static_cast<int>(most)); gpu <= last_gpu_; ++gpu)
      place.devices.push_back(device_name(gpu));
    return place;
  }

  // llama.cpp copies experts to a GPU for long prompts; the same in ktx's terms.
  WrittenPlace prefill_of(const Match& match, int gpu) const {
    const auto modules = taken(match, target_.model, open_);
    if (gpu >= 0 || common_class(target_.model, modules) != "moe.experts") return {};
    auto place = gpus(static_cast<size_t>(std::ranges::count(modules, char{1})));
    place.stream = true;
    return place;
  }

  void write(const std::string& by, const ModuleSet& modules, int gpu) {
    std::map<std::string, int> names;
    for (const auto& match : select(target_.model, modules, open_)) {
      auto name = common_class(target_.model, taken(match, target_.model, modules)) + " of " + by;
      const int before = names[name]++;
      if (before > 0) name += ", " + std::to_string(before + 1);
      text_.rule(name, match, {.devices = {device_name(gpu)}}, prefill_of(match, gpu));
    }
    for (size_t i = 0; i < open_.size(); ++i) open_[i] = open_[i] && !modules[i];
  }

  void write_class(const std::string& name, int gpu) {
    ModuleSet modules(open_.size());
    for (size_t i = 0; i < modules.size(); ++i)
      modules[i] = open_[i] && target_.model.modules[i].classes.front() == name;
    write("the rest", modules, gpu);
  }

  // The placement of llama.cpp without overrides.
  void write_rest() {
    if (is_empty(open_)) return;
    text_.section("What no override takes: the token embedding on the CPU, all else on GPUs.");
    tell_split(-1);
    write_class("embedding", -1);
    if (is_empty(open_)) return;
    if (last_gpu_ > 0)
      text_.comment(
          "Layers in equal ranges; llama.cpp cuts them by the GPUs' free memory, or as "
          "--tensor-split says.");
    text_.rule("rest", select(target_.model, open_, open_).front(), gpus(open_.size()));
  }

  const ImportTarget& target_;
  std::vector<Override> overrides_;
  ModuleSet open_;            // that no rule has taken yet
  std::vector<int> decided_;  // override of each module
  std::set<int> matched_;     // overrides that take a tensor
  std::map<int, std::vector<const graph::Module*>>
      split_;         // modules, by override, whose weights are not all its own
  int last_gpu_ = 0;  // that an override names
  RulesText text_;
};

}  // namespace

std::string import_tensor_overrides(const std::string& overrides, const ImportTarget& target) {
  return Importer(overrides, target).run();
}

}  // namespace ktx::placement
