// Prints a model's graph, equal layers folded.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "core/base/text.hpp"
#include "core/graph/graph.hpp"

namespace ktx::graph {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

std::string flag(bool on, const char* name) {
  return on ? std::string(" ") + name : "";
}

std::string rotary(const Rope& rope) {
  if (rope.frequency.empty()) return " no rotation";
  return " rotate " + std::to_string(2 * rope.frequency.size()) +
         (rope.interleaved ? " interleaved" : " halves") + " from " +
         number(rope.frequency.front()) + " to " + number(rope.frequency.back()) +
         (rope.magnitude == 1 ? "" : " times " + number(rope.magnitude));
}

/// Parameters as text, one overload an alternative of OpParams.
struct ParamText {
  int layer;

  std::string cache(int index) const {
    return " cache " + (index == layer ? std::string("N") : std::to_string(index));
  }
  std::string operator()(const std::monostate&) const { return ""; }
  std::string operator()(const NormParams& p) const { return " eps " + number(p.eps); }
  std::string operator()(const MlaParams& p) const {
    return " heads " + std::to_string(p.heads) + " nope " + std::to_string(p.nope) + " rope " +
           std::to_string(p.rope) + " v " + std::to_string(p.v) + " kv_lora " +
           std::to_string(p.kv_lora) + " scale " + number(p.scale) + rotary(p.rotary) +
           cache(p.cache);
  }
  std::string operator()(const GqaParams& p) const {
    return " heads " + std::to_string(p.heads) + " kv_heads " + std::to_string(p.kv_heads) +
           " head " + std::to_string(p.head) + " scale " + number(p.scale) + rotary(p.rotary) +
           (p.window > 0 ? " window " + std::to_string(p.window) : "") + cache(p.cache);
  }
  std::string operator()(const RouterParams& p) const {
    return " " + std::to_string(p.top_k) + " of " + std::to_string(p.experts) +
           (p.groups > 1
                ? " in " + std::to_string(p.top_groups) + " of " + std::to_string(p.groups) +
                      " groups" + (p.group_by_top2 ? " by best two" : " by best")
                : "") +
           (p.sigmoid ? " sigmoid" : " softmax") + flag(p.normalize, "normalized") +
           (p.scale == 1 ? "" : " times " + number(p.scale));
  }
  std::string operator()(const MoeParams& p) const {
    return " " + std::to_string(p.top_k) + " of " + std::to_string(p.experts) + " intermediate " +
           std::to_string(p.intermediate);
  }
};

std::string weight_text(const Weight& weight) {
  std::string text = weight.role + " " + std::string(quant::name(weight.source)) + " ";
  if (weight.count > 1) text += std::to_string(weight.count) + " x ";
  if (weight.is_vector()) {
    text += "[" + std::to_string(weight.cols) + "]";
  } else {
    text += "[" + std::to_string(weight.rows) + ", " + std::to_string(weight.cols) + "]";
  }
  if (weight.transposed) text += " transposed";
  if (weight.pieces.empty()) return text;
  const TensorPiece& first = weight.pieces.front();
  text += " from " + first.tensor;
  if (weight.pieces.size() > 1 || first.first_row > 0) {
    text += " rows " + std::to_string(first.first_row) + "+" + std::to_string(first.rows);
  }
  if (weight.pieces.size() > 1) {
    text += " and " + std::to_string(weight.pieces.size() - 1) + " more";
  }
  return text;
}

/// The layer's number in module and tensor names becomes N, so that equal layers read equal.
std::string without_layer(std::string text, int layer) {
  if (layer < 0) return text;
  for (const char* stem : {"layers.", "blk."}) {
    const std::string from = stem + std::to_string(layer) + ".", to = stem + std::string("N.");
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

/// The nodes of one layer (or of a stretch outside the layers), as lines that name no layer.
class Block {
 public:
  Block(const Model& model, size_t first) : model_(model), layer_(node(first).layer) {
    const int before = first > 0 ? node(first - 1).output : -1;
    for (end_ = first; end_ < model.graph.nodes.size() && node(end_).layer == layer_; ++end_) {
      add(node(end_), before);
    }
  }

  int layer() const { return layer_; }
  size_t end() const { return end_; }
  const std::string& lines() const { return lines_; }

 private:
  const Node& node(size_t i) const { return model_.graph.nodes[i]; }

  std::string operand(int index, int before) const {
    const Value& value = model_.graph.values[static_cast<size_t>(index)];
    const int owner = value.base >= 0 ? value.base : index;
    const auto local = local_.find(owner);
    std::string name = local != local_.end() ? "%" + std::to_string(local->second)
                       : owner == before     ? "in"
                                             : "'" + value.name + "'";
    if (value.base >= 0) {
      name += "[" + std::to_string(value.offset) + ":" +
              std::to_string(value.offset + value.width) + "]";
    }
    return name;
  }

  void add(const Node& n, int before) {
    std::vector<std::string> inputs;
    for (int input : n.inputs) inputs.push_back(operand(input, before));
    const int id = static_cast<int>(local_.size());
    local_[n.output] = id;
    std::string line = "  %" + std::to_string(id) + " [" +
                       std::to_string(model_.graph.values[static_cast<size_t>(n.output)].width) +
                       "] = " + std::string(info(n.op).name) + "(" + base::join(inputs) + ")" +
                       std::visit(ParamText{layer_}, n.params) + "\n";
    if (n.module >= 0) {
      const Module& module = model_.modules[static_cast<size_t>(n.module)];
      line += "      " + module.path + " (" + base::join(module.classes) + ")\n";
      for (const Weight& weight : module.weights) line += "      " + weight_text(weight) + "\n";
    }
    lines_ += without_layer(std::move(line), layer_);
  }

  const Model& model_;
  int layer_;
  size_t end_ = 0;
  std::map<int, int> local_;
  std::string lines_;
};

std::string ranges(const std::vector<int>& numbers) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    parts.push_back(std::to_string(numbers[i]) +
                    (end - i > 1 ? "-" + std::to_string(numbers[end - 1]) : ""));
    i = end;
  }
  return base::join(parts);
}

std::string heading(const ModelInfo& info) {
  std::string text = info.architecture + (info.name.empty() ? "" : " '" + info.name + "'") + ": " +
                     std::to_string(info.layers) + " layers, hidden " +
                     std::to_string(info.hidden) + ", vocabulary " + std::to_string(info.vocab) +
                     ", context " + std::to_string(info.context) + "\n";
  if (info.experts > 0) {
    text += "experts: " + std::to_string(info.experts) + ", " +
            std::to_string(info.experts_per_token) + " a token, in layers " +
            ranges(info.moe_layers) + "\n";
  }
  return text;
}

std::string unused(const Model& model) {
  std::string text;
  for (const Module& module : model.modules) {
    if (module.unused.empty()) continue;
    int64_t weights = 0;
    for (const Weight& weight : module.weights) weights += weight.weights();
    text += "not run: " + module.path + " (" + base::join(module.classes) + "), " +
            std::to_string(weights) + " weights: " + module.unused + "\n";
  }
  return text;
}

}  // namespace

std::string print(const Model& model) {
  std::string text = heading(model.info);
  for (size_t at = 0; at < model.graph.nodes.size();) {
    const Block first(model, at);
    int last = first.layer();
    at = first.end();
    while (first.layer() >= 0 && at < model.graph.nodes.size()) {
      const Block next(model, at);
      if (next.layer() != last + 1 || next.lines() != first.lines()) break;
      last = next.layer();
      at = next.end();
    }
    text += first.layer() < 0 ? "outside the layers\n"
            : last == first.layer()
                ? "layer " + std::to_string(last) + "\n"
                : "layers " + std::to_string(first.layer()) + "-" + std::to_string(last) + "\n";
    text += first.lines();
  }
  return text + unused(model);
}

}  // namespace ktx::graph
