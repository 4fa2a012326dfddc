// GraphBuilder: appends nodes and infers their widths.
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "core/graph/graph.hpp"

namespace ktx::graph {
namespace {

[[noreturn]] void fail(const std::string& message, const std::string& where) {
  throw_bug("graph: " + message, where);
}

const Module& module_at(const Model& model, int module, std::string_view user) {
  if (module < 0 || module >= static_cast<int>(model.modules.size())) {
    fail("no module number " + std::to_string(module), std::string(user));
  }
  return model.modules[static_cast<size_t>(module)];
}

const Weight& weight_of(const Module& module, std::string_view role) {
  const Weight* weight = module.find(role);
  if (weight == nullptr) fail("weight '" + std::string(role) + "' is missing", module.path);
  return *weight;
}

void expect_width(int64_t expected, int64_t found, std::string_view input,
                  const std::string& where) {
  if (expected == found) return;
  fail(std::string(input) + " must be " + std::to_string(expected) + " wide, is " +
           std::to_string(found),
       where);
}

}  // namespace

int GraphBuilder::module(Module module) {
  model_.modules.push_back(std::move(module));
  return static_cast<int>(model_.modules.size()) - 1;
}

int64_t GraphBuilder::width(int value, std::string_view user) const {
  if (value < 0 || value >= static_cast<int>(model_.graph.values.size())) {
    fail("no value number " + std::to_string(value), std::string(user));
  }
  return model_.graph.values[static_cast<size_t>(value)].width;
}

int GraphBuilder::add_node(Op op, int module, std::vector<int> inputs, int64_t width,
                           OpParams params, bool routing) {
  const std::string name =
      module >= 0 ? model_.modules[static_cast<size_t>(module)].path
                  : "layer " + std::to_string(layer_) + " " + std::string(info(op).name);
  model_.graph.values.push_back({.name = name, .width = width, .routing = routing});
  const int output = static_cast<int>(model_.graph.values.size()) - 1;
  model_.graph.nodes.push_back({.op = op,
                                .module = module,
                                .inputs = std::move(inputs),
                                .output = output,
                                .params = std::move(params),
                                .layer = layer_});
  return output;
}

int GraphBuilder::embedding(int module) {
  const Module& m = module_at(model_, module, "embedding");
  return add_node(Op::embedding, module, {}, weight_of(m, "weight").cols, {});
}

int GraphBuilder::rms_norm(int module, int x, float eps) {
  const Module& m = module_at(model_, module, "rms_norm");
  const int64_t group = weight_of(m, "weight").cols, w = width(x, m.path);
  if (group < 1 || w % group != 0) {
    fail("input is " + std::to_string(w) + " wide, no multiple of " + std::to_string(group),
         m.path);
  }
  return add_node(Op::rms_norm, module, {x}, w, NormParams{eps});
}

int GraphBuilder::linear(int module, int x) {
  const Module& m = module_at(model_, module, "linear");
  const Weight& weight = weight_of(m, "weight");
  expect_width(weight.cols, width(x, m.path), "input", m.path);
  return add_node(Op::linear, module, {x}, weight.rows, {});
}

int GraphBuilder::silu_mul(int gate, int up) {
  const int64_t w = width(gate, "silu_mul");
  expect_width(w, width(up, "silu_mul"), "up", "silu_mul");
  return add_node(Op::silu_mul, -1, {gate, up}, w, {});
}

int GraphBuilder::add(int a, int b) {
  const int64_t w = width(a, "add");
  expect_width(w, width(b, "add"), "second input", "add");
  return add_node(Op::add, -1, {a, b}, w, {});
}

int GraphBuilder::scale_sigmoid(int x, int s) {
  expect_width(1, width(s, "scale_sigmoid"), "scale", "scale_sigmoid");
  return add_node(Op::scale_sigmoid, -1, {x, s}, width(x, "scale_sigmoid"), {});
}

int GraphBuilder::mla(int module, int q, int latent, int k_rope, MlaParams params) {
  const Module& m = module_at(model_, module, "mla");
  const int64_t heads = params.heads;
  expect_width(heads * (params.nope + params.rope), width(q, m.path), "q", m.path);
  expect_width(params.kv_lora, width(latent, m.path), "latent", m.path);
  expect_width(params.rope, width(k_rope, m.path), "k_rope", m.path);
  return add_node(Op::mla, module, {q, latent, k_rope}, heads * params.v, std::move(params));
}

int GraphBuilder::gqa(int module, int q, int k, int v, GqaParams params) {
  const Module& m = module_at(model_, module, "gqa");
  const int64_t head = params.head, out = params.heads * head;
  expect_width(out, width(q, m.path), "q", m.path);
  expect_width(params.kv_heads * head, width(k, m.path), "k", m.path);
  expect_width(params.kv_heads * head, width(v, m.path), "v", m.path);
  return add_node(Op::gqa, module, {q, k, v}, out, std::move(params));
}

int GraphBuilder::router(int module, int x, RouterParams params) {
  const Module& m = module_at(model_, module, "router");
  const Weight& weight = weight_of(m, "weight");
  expect_width(weight.cols, width(x, m.path), "input", m.path);
  return add_node(Op::router, module, {x}, params.top_k, params, true);
}

int GraphBuilder::moe(int module, int x, int routing, MoeParams params) {
  const Module& m = module_at(model_, module, "moe");
  expect_width(params.hidden, width(x, m.path), "input", m.path);
  expect_width(params.top_k, width(routing, m.path), "routing", m.path);
  return add_node(Op::moe, module, {x, routing}, params.hidden, params);
}

int GraphBuilder::last_rows(int x) {
  return add_node(Op::last_rows, -1, {x}, width(x, "last_rows"), {});
}

int GraphBuilder::slice(int x, int64_t offset, int64_t columns) {
  const int64_t w = width(x, "slice");
  const Value& whole = model_.graph.values[static_cast<size_t>(x)];
  if (offset < 0 || columns < 1 || columns > w || offset > w - columns) {
    fail("columns " + std::to_string(offset) + " to " + std::to_string(offset + columns) +
             " are not within its " + std::to_string(w),
         whole.name);
  }
  Value view{.name = whole.name, .width = columns};
  view.base = whole.base >= 0 ? whole.base : x;
  view.offset = whole.offset + offset;
  model_.graph.values.push_back(std::move(view));
  return static_cast<int>(model_.graph.values.size()) - 1;
}

void GraphBuilder::logits(int value) {
  width(value, "logits");
  model_.graph.logits = value;
}

}  // namespace ktx::graph
