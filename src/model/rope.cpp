// Rotary position embedding: a configuration's scaling turned into one frequency a pair.
#include "model/rope.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::model {
namespace {

struct KindName {
  std::string_view name;
  RopeKind kind;
};
constexpr std::array<KindName, 5> kinds{{{"default", RopeKind::plain},
                                         {"none", RopeKind::plain},
                                         {"linear", RopeKind::linear},
                                         {"yarn", RopeKind::yarn},
                                         {"llama3", RopeKind::llama3}}};

RopeKind read_kind(const Config& config, const Key& key) {
  const std::string name = config.text_or(key, "default");
  std::vector<std::string> names;
  for (const KindName& row : kinds) {
    if (row.name == name) return row.kind;
    names.emplace_back(row.name);
  }
  config.fail(key, "names an unknown scaling '" + name + "'",
              base::suggestions(name, names, "scalings"));
}

RopeScaling read_hugging_face(const Config& config, int64_t context, double theta) {
  const bool renamed = config.has({"rope_parameters", {}});
  const Config section = config.section(renamed ? "rope_parameters" : "rope_scaling");
  RopeScaling out;
  theta = config.number_or({"rope_theta", {}}, theta, 1);
  out.theta = section.number_or({"rope_theta", {}}, theta, 1);
  const Key partial{"partial_rotary_factor", {}};
  for (const Config* place : {&config, &section}) {
    if (place->number_or(partial, 1) != 1)
      place->fail(partial, "must be 1: no architecture here rotates parts of a head");
  }
  out.kind = read_kind(section, {"rope_type", {}, "type"});
  if (out.kind == RopeKind::plain) return out;
  const Key original{"original_max_position_embeddings", {}};
  const auto fallback = static_cast<double>(context);
  out.original_context = static_cast<double>(
      config.has(original) ? config.tokens(original) : section.tokens_or(original, context));
  const Key factor{"factor", {}};
  if (out.kind == RopeKind::yarn && !section.has(factor)) {
    out.factor = fallback / out.original_context;
  } else {
    out.factor = section.number(factor);
  }
  out.mscale_all_dim = section.number_or({"mscale_all_dim", {}}, 0, -1);
  if (out.kind == RopeKind::yarn) {
    out.beta_fast = section.number_or({"beta_fast", {}}, out.beta_fast);
    out.beta_slow = section.number_or({"beta_slow", {}}, out.beta_slow);
    out.truncate = section.flag_or({"truncate", {}}, out.truncate);
    out.mscale = section.number_or({"mscale", {}}, 0, -1);
    out.attention_factor = section.number_or({"attention_factor", {}}, 0);
  } else if (out.kind == RopeKind::llama3) {
    out.low_frequency = section.number({"low_freq_factor", {}});
    out.high_frequency = section.number({"high_freq_factor", {}}, out.low_frequency);
  }
  return out;
}

RopeScaling read_gguf(const Config& config, int64_t context, double theta) {
  RopeScaling out;
  out.theta = config.number_or({{}, "rope.freq_base"}, theta, 1);
  const Key old_linear{{}, "rope.scale_linear"};
  if (config.has(old_linear)) {
    out.kind = RopeKind::linear;
    out.factor = config.number(old_linear);
  }
  const Key type{{}, "rope.scaling.type"};
  if (!config.has(type)) return out;
  out.kind = read_kind(config, type);
  const Key factor{{}, "rope.scaling.factor"};
  const Key original{{}, "rope.scaling.original_context_length"};
  if (out.kind == RopeKind::plain || out.kind == RopeKind::linear) config.has(original);
  if (out.kind == RopeKind::plain) {
    config.has(factor);  // of no scaling both say nothing
    return out;
  }
  out.factor = config.number(factor);
  if (out.kind == RopeKind::linear) return out;
  out.original_context = static_cast<double>(config.tokens_or(original, context));
  out.beta_fast = config.number_or({{}, "rope.scaling.yarn_beta_fast"}, out.beta_fast);
  out.beta_slow = config.number_or({{}, "rope.scaling.yarn_beta_slow"}, out.beta_slow);
  // The key holds 0.1 mscale_all_dim. mscale itself is not kept: it equals mscale_all_dim in every
  // published DeepSeek model, so cos and sin have magnitude 1.
  out.mscale_all_dim = 10 * config.number_or({{}, "rope.scaling.yarn_log_multiplier"}, 0, -1);
  out.mscale = out.mscale_all_dim;
  return out;
}

double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

/// The dimension (of dims) whose pair turns `turns` times within the original context.
double yarn_dimension(const RopeScaling& s, double turns, int dims) {
  return dims * std::log(s.original_context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(s.theta));
}

void stretch_yarn(const RopeScaling& s, int dims, std::vector<double>& frequency) {
  double low = yarn_dimension(s, s.beta_fast, dims), high = yarn_dimension(s, s.beta_slow, dims);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dims - 1.0);
  if (low == high) high += 0.001;  // as the authors' code does, against a division by zero
  for (size_t i = 0; i < frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequency[i] = frequency[i] / s.factor * ramp + frequency[i] * (1 - ramp);
  }
}

void stretch_llama3(const RopeScaling& s, std::vector<double>& frequency) {
  for (double& f : frequency) {
    const double turns = s.original_context * f / (2 * std::numbers::pi);
    const double kept =
        std::clamp((turns - s.low_frequency) / (s.high_frequency - s.low_frequency), 0.0, 1.0);
    f = (1 - kept) * f / s.factor + kept * f;
  }
}

}  // namespace

RopeScaling read_rope(const Config& config, int64_t context, double theta) {
  return config.gguf() ? read_gguf(config, context, theta)
                       : read_hugging_face(config, context, theta);
}

graph::Rope make_rope(const RopeScaling& scaling, int dims, bool interleaved) {
  require(dims >= 2 && dims % 2 == 0, "make_rope: dims must be even");
  std::vector<double> frequency(static_cast<size_t>(dims / 2));
  for (size_t i = 0; i < frequency.size(); ++i) {
    frequency[i] = std::pow(scaling.theta, -2.0 * static_cast<double>(i) / dims);
  }
  graph::Rope rope;
  rope.interleaved = interleaved;
  switch (scaling.kind) {
    case RopeKind::plain:
      break;
    case RopeKind::linear:
      for (double& f : frequency) f /= scaling.factor;
      break;
    case RopeKind::llama3:
      stretch_llama3(scaling, frequency);
      break;
    case RopeKind::yarn: {
      stretch_yarn(scaling, dims, frequency);
      const double f = scaling.factor;
      const double magnitude =
          scaling.attention_factor != 0 ? scaling.attention_factor
          : scaling.mscale != 0 && scaling.mscale_all_dim != 0
              ? yarn_magnitude(f, scaling.mscale) / yarn_magnitude(f, scaling.mscale_all_dim)
              : yarn_magnitude(f, 1);
      rope.magnitude = static_cast<float>(magnitude);
      break;
    }
  }
  rope.frequency.assign(frequency.begin(), frequency.end());
  return rope;
}

double attention_factor(const RopeScaling& scaling) {
  if (scaling.kind == RopeKind::plain) return 1;
  const double m = yarn_magnitude(scaling.factor, scaling.mscale_all_dim);
  return m * m;
}

}  // namespace ktx::model
