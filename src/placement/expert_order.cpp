// Reading a profile of experts.
#include "placement/expert_order.hpp"

#include <set>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

using base::Yaml;

std::vector<int> parse_expert_list(const Yaml& value, std::string_view what) {
  constexpr int64_t most = 1'000'000;
  std::vector<int> experts;
  std::set<int64_t> seen;
  for (const auto& item : value.as_sequence(what)) {
    const int64_t expert = item.as_int(what);
    if (expert < 0 || expert > most)
      throw_input(std::string(what) + ": expected the number of an expert, found " + item.scalar,
                  item.where);
    if (!seen.insert(expert).second)
      throw_input(std::string(what) + ": expert " + item.scalar + " is listed twice", item.where);
    experts.push_back(static_cast<int>(expert));
  }
  if (experts.empty())
    throw_input(std::string(what) + ": expected at least one expert", value.where);
  return experts;
}

ExpertOrder parse_expert_order(const Yaml& yaml) {
  ExpertOrder order;
  for (const auto& [key, value] : yaml.as_map("a profile of experts")) {
    if (key.scalar != "layers")
      throw_input("unknown key '" + key.scalar + "' in a profile of experts", key.where,
                  {"its only key is layers: {3: [5, 17], 4: [8]}, most used experts first"});
    for (const auto& [layer_key, list] : value.as_map("layers")) {
      const auto experts = parse_expert_list(list, "layers");
      for (const auto& range : parse_layers(layer_key, "layers"))
        for (int layer = range.first; layer <= range.last; ++layer)
          if (!order.emplace(layer, experts).second)
            throw_input("layer " + std::to_string(layer) + " is given twice", layer_key.where);
    }
  }
  if (order.empty())
    throw_input("a profile of experts gives some of each layer: layers: {3: [5, 17]}", yaml.where);
  return order;
}

ExpertOrder read_expert_order(const std::filesystem::path& file) {
  return parse_expert_order(base::read_yaml(file));
}

}  // namespace ktx::placement
