// Checks a model's graph once, so that placement and kernels need not.
#include <array>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/graph/graph.hpp"

namespace ktx::graph {
namespace {

/// What a node of an op must look like.
struct Shape {
  size_t inputs;
  bool module;
  size_t params;  // index of the alternative in OpParams
};

constexpr size_t none = 0, norm = 1, mla = 2, gqa = 3, router = 4, moe = 5;

/// In the order of Op.
constexpr std::array<Shape, 12> shapes{{
    {0, true, none},    // embedding
    {1, true, norm},    // rms_norm
    {1, true, none},    // linear
    {2, false, none},   // silu_mul
    {2, false, none},   // add
    {2, false, none},   // scale_sigmoid
    {3, true, mla},     // mla
    {3, true, gqa},     // gqa
    {1, true, router},  // router
    {2, true, moe},     // moe
    {1, false, none},   // last_rows
    {1, false, none},   // copy
}};

class Validator {
 public:
  explicit Validator(const Model& model)
      : model_(model),
        made_(model.graph.values.size(), false),
        runs_(model.modules.size(), 0),
        cache_used_(model.info.caches.size(), false) {}

  void run() {
    for (const Module& module : model_.modules) check_module(module);
    check_views();
    for (const Node& node : model_.graph.nodes) check_node(node);
    for (size_t i = 0; i < runs_.size(); ++i) {
      const Module& module = model_.modules[i];
      subject_ = module.path;
      expect((runs_[i] == 1) == module.unused.empty(),
             "module is run " + std::to_string(runs_[i]) + " times");
    }
    subject_ = "graph";
    for (size_t i = 0; i < cache_used_.size(); ++i) {
      expect(cache_used_[i], "no node uses cache " + std::to_string(i));
    }
    expect(valid(model_.graph.logits) && is_made(model_.graph.logits), "logits are not made");
    expect(width(model_.graph.logits) == model_.info.vocab,
           "logits are not as wide as the vocabulary");
  }

 private:
  void expect(bool condition, const std::string& message) const {
    if (!condition) throw_bug("graph: " + message, subject_);
  }
  bool valid(int value) const {
    return value >= 0 && value < static_cast<int>(model_.graph.values.size());
  }
  const Value& value(int index) const { return model_.graph.values[static_cast<size_t>(index)]; }
  int64_t width(int index) const { return value(index).width; }
  bool is_made(int index) const {
    const int base = value(index).base;
    return made_[static_cast<size_t>(base >= 0 ? base : index)];
  }

  void check_module(const Module& module) {
    subject_ = module.path;
    expect(paths_.insert(module.path).second, "two modules of that path");
    expect(!module.classes.empty(), "module has no class");
    expect(module.unused.empty() == !module.op.empty(), "module is neither run nor marked unused");
    for (const Weight& weight : module.weights) {
      int64_t rows = 0;
      for (const TensorPiece& piece : weight.pieces) {
        expect(piece.first_row >= 0 && piece.rows > 0, "a piece of '" + weight.role + "' is empty");
        rows += piece.rows;
      }
      expect(weight.count > 0 && weight.rows > 0 && weight.cols > 0,
             "weight '" + weight.role + "' is empty");
      expect(rows == weight.count * (weight.transposed ? weight.cols : weight.rows),
             "the pieces of '" + weight.role + "' don't add up to its rows");
    }
  }

  void check_views() {
    for (const Value& v : model_.graph.values) {
      subject_ = v.name;
      expect(v.width > 0, "value is empty");
      if (v.base < 0) continue;
      expect(valid(v.base) && value(v.base).base < 0, "view of no owning value");
      expect(v.offset >= 0 && v.offset + v.width <= width(v.base), "view beyond its value");
    }
  }

  void check_node(const Node& node) {
    const Shape& shape = shapes[static_cast<size_t>(node.op)];
    subject_ = std::string(info(node.op).name);
    expect(node.inputs.size() == shape.inputs, "wrong number of inputs");
    expect(node.params.index() == shape.params, "parameters of another op");
    expect((node.module >= 0) == shape.module, "module missing or not expected");
    if (shape.module) {
      expect(node.module < static_cast<int>(model_.modules.size()), "no such module");
      const Module& module = model_.modules[static_cast<size_t>(node.module)];
      subject_ = module.path;
      expect(module.op == info(node.op).name, "module is of another op");
      ++runs_[static_cast<size_t>(node.module)];
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const int input = node.inputs[i];
      expect(valid(input) && is_made(input), "an input is read before it is made");
      const bool routing = node.op == Op::moe && i == 1;
      expect(value(input).routing == routing,
             routing ? "input is no routing" : "input is a routing");
    }
    expect(valid(node.output) && value(node.output).base < 0, "output is no owning value");
    expect(!made_[static_cast<size_t>(node.output)], "output is made twice");
    expect(value(node.output).routing == (node.op == Op::router), "only a router makes a routing");
    check_widths(node);
    made_[static_cast<size_t>(node.output)] = true;
  }

  void expect_weight(const Node& node, std::string_view role, int64_t count, int64_t rows,
                     int64_t cols) const {
    const Weight* weight = model_.modules[static_cast<size_t>(node.module)].find(role);
    expect(weight != nullptr, "weight '" + std::string(role) + "' is missing");
    expect(weight->count == count && weight->rows == rows && weight->cols == cols,
           "weight '" + std::string(role) + "' has another shape");
  }

  void check_widths(const Node& node) {
    const int64_t out = width(node.output);
    const auto in = [&](size_t i) { return width(node.inputs[i]); };
    switch (node.op) {
      case Op::embedding:
        return expect_weight(node, "weight", 1, model_.info.vocab, out);
      case Op::linear:
        return expect_weight(node, "weight", 1, out, in(0));
      case Op::rms_norm: {
        const Weight* weight = model_.modules[static_cast<size_t>(node.module)].find("weight");
        expect(
            weight != nullptr && weight->is_vector() && in(0) % weight->cols == 0 && in(0) == out,
            "widths of a norm");
        return expect(std::get<NormParams>(node.params).eps > 0, "eps must be positive");
      }
      case Op::silu_mul:
      case Op::add:
        return expect(in(0) == out && in(1) == out, "widths differ");
      case Op::scale_sigmoid:
        return expect(in(0) == out && in(1) == 1, "widths of a scaling");
      case Op::last_rows:
        return expect(in(0) == out, "widths differ");
      case Op::mla:
        return check_mla(node, std::get<MlaParams>(node.params));
      case Op::gqa:
        return check_gqa(node, std::get<GqaParams>(node.params));
      case Op::router:
        return check_router(node, std::get<RouterParams>(node.params));
      case Op::moe:
        return check_moe(node, std::get<MoeParams>(node.params));
      case Op::copy:
      case Op::convert:
        return expect(false, "copies are made by lowering");
    }
  }

  void check_cache(int cache, int64_t scaled, int64_t exact) {
    expect(cache >= 0 && cache < static_cast<int>(cache_used_.size()), "no such cache");
    const auto i = static_cast<size_t>(cache);
    expect(!cache_used_[i], "cache is used twice");
    const KvRow& row = model_.info.caches[i];
    expect(row.scaled == scaled && row.exact == exact && row.group > 0, "cache has another width");
    cache_used_[i] = true;
  }

  void check_mla(const Node& node, const MlaParams& p) {
    expect(p.heads > 0 && p.nope > 0 && p.rope > 0 && p.v > 0 && p.kv_lora > 0, "empty heads");
    expect(p.scale > 0, "scale must be positive");
    expect(2 * p.rotary.frequency.size() == static_cast<size_t>(p.rope), "rotary dimensions");
    expect(width(node.inputs[0]) == int64_t{p.heads} * (p.nope + p.rope) &&
               width(node.inputs[1]) == p.kv_lora && width(node.inputs[2]) == p.rope &&
               width(node.output) == int64_t{p.heads} * p.v,
           "widths of attention");
    expect_weight(node, "k_b", p.heads, p.kv_lora, p.nope);
    expect_weight(node, "v_b", p.heads, p.v, p.kv_lora);
    check_cache(p.cache, p.kv_lora, p.rope);
  }

  void check_gqa(const Node& node, const GqaParams& p) {
    expect(p.heads > 0 && p.kv_heads > 0 && p.head > 0 && p.heads % p.kv_heads == 0,
           "heads must be a multiple of the key heads");
    expect(p.scale > 0 && p.window >= 0, "scale or window out of range");
    expect(2 * p.rotary.frequency.size() <= static_cast<size_t>(p.head), "rotary dimensions");
    const int64_t keys = int64_t{p.kv_heads} * p.head;
    expect(width(node.inputs[0]) == int64_t{p.heads} * p.head && width(node.inputs[1]) == keys &&
               width(node.inputs[2]) == keys && width(node.output) == width(node.inputs[0]),
           "widths of attention");
    check_cache(p.cache, 2 * keys, 0);
  }

  void check_router(const Node& node, const RouterParams& p) const {
    expect(p.experts > 0 && p.groups > 0 && p.experts % p.groups == 0, "experts don't fill groups");
    expect(p.top_groups > 0 && p.top_groups <= p.groups, "groups chosen out of range");
    expect(p.groups <= max_selected && p.top_k <= max_selected,
           "more than " + std::to_string(max_selected) + " groups or experts chosen");
    const int per_group = p.experts / p.groups;
    expect(p.top_k > 0 && p.top_k <= per_group * p.top_groups, "experts chosen out of range");
    expect(!p.group_by_top2 || p.groups == 1 || per_group >= 2, "groups of one expert");
    expect(width(node.output) == p.top_k, "routing has another width");
    expect_weight(node, "weight", 1, p.experts, width(node.inputs[0]));
    const Module& module = model_.modules[static_cast<size_t>(node.module)];
    if (module.find("bias") != nullptr) expect_weight(node, "bias", 1, 1, p.experts);
  }

  void check_moe(const Node& node, const MoeParams& p) const {
    expect(p.experts > 0 && p.top_k > 0 && p.top_k <= p.experts, "experts out of range");
    expect(width(node.inputs[0]) == p.hidden && width(node.inputs[1]) == p.top_k &&
               width(node.output) == p.hidden,
           "widths of the experts");
    expect_weight(node, "gate", p.experts, p.intermediate, p.hidden);
    expect_weight(node, "up", p.experts, p.intermediate, p.hidden);
    expect_weight(node, "down", p.experts, p.hidden, p.intermediate);
  }

  const Model& model_;
  std::vector<bool> made_;
  std::vector<int> runs_;
  std::vector<bool> cache_used_;
  std::set<std::string> paths_;
  std::string subject_;
};

}  // namespace

void validate(const Model& model) {
  Validator(model).run();
}

}  // namespace ktx::graph
