// Used tensors are those of the modules' pieces; used keys those that something has looked at.
#include "model/accounting.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/log.hpp"
#include "core/base/name_map.hpp"
#include "core/base/text.hpp"
#include "model/harmless.hpp"
#include "model/tensor_names.hpp"
#include "model/weights.hpp"

namespace ktx::model {
namespace {

constexpr size_t most_named = 8;     // in a message
constexpr size_t most_parts = 1024;  // that are named as the checkpoint names them

/// The layer that a tensor is of, and the rest of its name.
struct LayerName {
  int layer = -1;
  std::string rest;
};

class Accounting {
 public:
  Accounting(const Source& source, const Config& config, graph::Model& model)
      : source_(source), config_(config), model_(model) {
    for (const graph::Module& module : model.modules) {
      has_gqa_ = has_gqa_ || module.op == "gqa";
      for (const graph::Weight& weight : module.weights) {
        for (const graph::TensorPiece& piece : weight.pieces) used_.insert(piece.tensor);
      }
    }
    find_mtp_layers();
  }

  void run() {
    for (const graph::TensorMeta& tensor : source_.listed) judge(tensor.name, &tensor);
    for (const std::string& name : source_.unread) judge(name, nullptr);
    for (auto& [path, module] : parts_) model_.modules.push_back(std::move(module));
    for (const auto& [name, value] : config_.unread()) judge_key(name, *value);
    say_foreign();
    report();
  }

 private:
  /// A name as it would be of the language model alone.
  std::string own_name(const std::string& name) const {
    const auto& [from, to] = source_.renaming;
    return name.starts_with(to) ? from + name.substr(to.size()) : name;
  }

  LayerName layer_name(const std::string& stored) const {
    const std::string_view stem = source_.naming == Naming::gguf ? "blk." : "model.layers.";
    const std::string name = own_name(stored);
    if (!name.starts_with(stem)) return {};
    LayerName out;
    const char* const last = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data() + stem.size(), last, out.layer);
    if (error != std::errc{} || end == last || *end != '.') return {};
    out.rest.assign(end + 1, last);
    return out;
  }

  /// Layers after the last one that is run which have the projection of such layers. A number that
  /// no layer can have is none.
  void find_mtp_layers() {
    const auto look = [&](const std::string& name) {
      const LayerName found = layer_name(name);
      if (found.layer >= model_.info.layers && found.layer < limits::layers &&
          found.rest.find("eh_proj") != std::string::npos)
        mtp_.insert(found.layer);
    };
    for (const graph::TensorMeta& tensor : source_.listed) look(tensor.name);
    for (const std::string& name : source_.unread) look(name);
  }

  /// tensor: null when it can't be read.
  void judge(const std::string& name, const graph::TensorMeta* tensor) {
    if (used_.contains(name) || is_replaced(name)) return;
    if (const LayerName found = layer_name(name); mtp_.contains(found.layer)) {
      add_to_part(layer_path(found.layer), "mtp", "predicts further tokens, which ktx doesn't use",
                  found.rest, tensor);
      return;
    }
    const auto harmless = harmless_tensor(name);
    if (!harmless && is_foreign(name)) {
      foreign_.push_back("'" + name + "'");
      const std::string part = name.substr(0, name.find('.'));
      const bool is_named = parts_.size() < most_parts || parts_.contains(part);
      add_to_part(is_named ? part : "others", "other", "no part of the model", name, tensor);
    } else if (!harmless) {
      const bool why = tensor == nullptr && source_.why_missing;
      problems_.push_back("tensor '" + name + "'" +
                          (why ? " (" + source_.why_missing(name) + ")" : ""));
    } else if (!harmless->part.empty()) {
      add_to_part(std::string(harmless->part), "other", harmless->reason, name, tensor);
    }
  }

  /// Whether other tensors hold the same numbers, or an architecture's code read this one itself.
  bool is_replaced(const std::string& name) const {
    constexpr std::string_view both = "attn_kv_b.weight";
    if (source_.naming == Naming::gguf) {
      if (name == "rope_freqs.weight") return has_gqa_;
      if (!name.ends_with(both)) return false;
      const std::string block = name.substr(0, name.size() - both.size());
      return used_.contains(block + "attn_k_b.weight") && used_.contains(block + "attn_v_b.weight");
    }
    return own_name(name) == "lm_head.weight" &&
           config_.flag_or({"tie_word_embeddings", {}}, false);  // the embedding takes its place
  }

  /// Outside of all that transformers' code of a language model looks at.
  bool is_foreign(const std::string& name) const {
    const std::string own = own_name(name);
    return source_.naming == Naming::hugging_face && !own.starts_with("model.") &&
           !own.starts_with("lm_head.");
  }

  static std::string layer_path(int layer) { return "model.layers." + std::to_string(layer); }

  void add_to_part(const std::string& path, const char* own_class, std::string_view reason,
                   std::string_view role, const graph::TensorMeta* tensor) {
    graph::Module& module = parts_[path];
    module.path = path;
    module.classes = {own_class};
    module.unused = reason;
    if (tensor == nullptr) return;
    if (auto weight = Tensors::unused(std::string(role), *tensor))
      module.weights.push_back(std::move(*weight));
  }

  void judge_key(std::string_view name, const Json& value) {
    const std::string_view own = name.substr(config_.prefix().size());
    if (is_harmless_key(source_.naming, own, value)) return;
    problems_.push_back("'" + std::string(name) +
                        "' = " + base::shortened(base::dump_json(value), 60));
  }

  void say_foreign() const {
    if (foreign_.empty()) return;
    base::log(LogLevel::warning, source_.where + ": not read, because they are not part of a " +
                                     model_.info.architecture + " model: tensors " +
                                     base::shortened(base::join(foreign_), 200));
  }

  void report() {
    if (problems_.empty()) return;
    const size_t named = std::min(problems_.size(), most_named);
    std::vector<std::string> others(problems_.begin() + 1,
                                    problems_.begin() + static_cast<std::ptrdiff_t>(named));
    if (named < problems_.size())
      others.push_back(std::to_string(problems_.size() - named) + " more");
    const std::string message = problems_.front() + " is not supported in " +
                                model_.info.architecture +
                                " models: ignoring it would change the answers";
    std::vector<std::string> notes;
    if (!others.empty()) notes.push_back("also: " + base::join(others));
    if (!source_.ignore_unused) {
      notes.emplace_back("--ignore-unused runs the model without it");
      throw_input(message, source_.where, std::move(notes));
    }
    std::string text = source_.where + ": " + message;
    for (const std::string& note : notes) text += "; " + note;
    base::log(LogLevel::warning, text);
  }

  const Source& source_;
  const Config& config_;
  graph::Model& model_;
  base::NameSet<std::string_view> used_;  // names in the model's modules
  std::set<int> mtp_;
  bool has_gqa_ = false;
  std::map<std::string, graph::Module> parts_;
  std::vector<std::string> problems_, foreign_;
};

}  // namespace

void account(const Source& source, const Config& config, graph::Model& model) {
  Accounting(source, config, model).run();
}

}  // namespace ktx::model
