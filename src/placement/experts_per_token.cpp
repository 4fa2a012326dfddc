// Experts per token: the number in each layer, and the most that a request may ask for.
#include <algorithm>
#include <string>

#include "core/base/error.hpp"
#include "placement/settings.hpp"
#include "placement/totals.hpp"

namespace ktx::placement {

namespace {

constexpr const char* keyword = "experts_per_token";
constexpr const char* flag = "--experts-per-token";

// The number of a layer, and where it was given; nothing: the checkpoint's number applies.
Maybe<int> count_of(const ExpertsPerToken& experts, int layer) {
  for (const auto& [range, count] : experts.layers)
    if (range.value.contains(layer)) return Given<int>{count, range.where};
  return experts.everywhere;
}

void check_layers_have_experts(const ExpertsPerToken& experts, const graph::Model& model) {
  for (const auto& [range, count] : experts.layers) {
    bool any = false;
    for (const int layer : model.info.moe_layers) any = any || range.value.contains(layer);
    if (!any)
      throw_input(
          "experts_per_token: no layer of " + to_string({range.value}) + " has routed experts",
          range.where,
          {"layers with routed experts: " + to_string(ranges_of(model.info.moe_layers))});
  }
}

// The largest number that the router can select.
int most_experts(const graph::RouterParams& router) {
  return std::min(router.experts / std::max(1, router.groups) * router.top_groups,
                  graph::max_selected);
}

void check_count(const graph::Node& node, const char* what, int64_t count,
                 const std::string& where) {
  const auto& router = std::get<graph::RouterParams>(node.params);
  if (count >= 1 && count <= most_experts(router)) return;
  throw_input(std::string(what) + ": expected 1 to " + std::to_string(most_experts(router)) +
                  ", found " + std::to_string(count),
              where,
              {"layer " + std::to_string(node.layer) + " has " + std::to_string(router.experts) +
               " routed experts in " + std::to_string(router.groups) +
               " groups, of which a token uses " + std::to_string(router.top_groups)});
}

// The option, which overrides everything in the rules.
ExpertsPerToken asked_for(const Setup& setup) {
  const auto& options = setup.options;
  if (!options.experts_per_token) return setup.rules.model.experts_per_token;
  if (options.max_experts && *options.max_experts < *options.experts_per_token)
    throw_input("expected " + std::to_string(*options.experts_per_token) +
                    " or more, as --experts-per-token says, found " +
                    std::to_string(*options.max_experts),
                "--max-experts");
  ExpertsPerToken experts;
  experts.everywhere = {*options.experts_per_token, ""};
  return experts;
}

std::string first_place(const ExpertsPerToken& experts) {
  if (experts.everywhere) return experts.everywhere->where;
  return experts.layers.empty() ? "" : experts.layers.front().first.where;
}

void note_settings(const Setup& setup, const ExpertsPerToken& experts) {
  auto& plan = setup.plan;
  const auto from = [&](const std::string& where) { return file_and_line(where); };
  if (!experts.everywhere)
    plan.settings.push_back(
        {keyword, std::to_string(plan.model.info.experts_per_token), "checkpoint"});
  else
    plan.settings.push_back(
        {keyword, std::to_string(experts.everywhere->value),
         setup.options.experts_per_token ? flag : from(experts.everywhere->where)});
  for (const auto& [range, count] : experts.layers)
    plan.settings.push_back({std::string(keyword) + ", layers " + to_string({range.value}),
                             std::to_string(count), from(range.where)});
  if (setup.options.max_experts)
    plan.settings.push_back(
        {"max_experts", std::to_string(plan.max_experts_per_token),
         plan.max_experts_per_token == *setup.options.max_experts ? "--max-experts" : keyword});
}

// Routings have as many columns as any token has experts; tokens with fewer leave some empty.
void widen_routings(graph::Model& model, int columns) {
  for (auto& node : model.graph.nodes) {
    if (auto* router = std::get_if<graph::RouterParams>(&node.params)) {
      router->top_k = columns;
      model.graph.values.at(static_cast<size_t>(node.output)).width = columns;
    }
    if (auto* moe = std::get_if<graph::MoeParams>(&node.params)) moe->top_k = columns;
  }
}

}  // namespace

void apply_experts_per_token(const Setup& setup) {
  auto& plan = setup.plan;
  const auto experts = asked_for(setup);
  plan.experts_per_token.assign(static_cast<size_t>(std::max(0, plan.model.info.layers)), -1);
  const bool asked = experts.everywhere || !experts.layers.empty() || setup.options.max_experts;
  if (plan.model.info.experts == 0) {
    if (!asked) return;
    throw_input(std::string(keyword) + ": the model (" + plan.model.info.architecture +
                    ") has no routed experts",
                first_place(experts));
  }
  check_layers_have_experts(experts, plan.model);
  for (const auto& node : plan.model.graph.nodes) {
    const auto* router = std::get_if<graph::RouterParams>(&node.params);
    if (router == nullptr) continue;
    const auto given = count_of(experts, node.layer);
    if (given) check_count(node, keyword, given->value, given->where);
    if (setup.options.max_experts) check_count(node, "max_experts", *setup.options.max_experts, "");
    const int count = given ? given->value : router->top_k;
    plan.experts_per_token.at(static_cast<size_t>(node.layer)) = count;
    plan.max_experts_per_token = std::max(
        {plan.max_experts_per_token, count, router->top_k, setup.options.max_experts.value_or(0)});
  }
  widen_routings(plan.model, plan.max_experts_per_token);
  note_settings(setup, experts);
}

}  // namespace ktx::placement
