// Tables of KTransformers' terms and their equivalents in ktx: Python classes, ops, devices,
// arguments.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/yaml.hpp"

namespace ktx::placement {

/// What a Python class of a model is, by the last component of its name.
enum class PythonKind {
  unknown,
  any,  // torch.nn.Module
  linear,
  norm,
  embedding,
  router,
  attention,
  mlp,
  moe,
  list,  // torch.nn.ModuleList, the routed experts too
  layer,
  model,
  causal_lm,
  rotary,
};
PythonKind python_kind(std::string_view python_class) noexcept;

/// An op, or a backend of the experts on the CPU.
struct KtOp {
  std::string_view name;
  std::string_view format;  // of ktx; empty: as in the checkpoint
  std::string_view remark;  // what differs; may be empty
};
const KtOp* find_kt_op(std::string_view name) noexcept;
const KtOp* find_kt_backend(std::string_view name) noexcept;

/// Why ktx has no such argument of `kwargs`.
std::string_view why_no_argument(std::string_view name) noexcept;

/// A device of ktx, and what differs (may be empty).
struct KtDevice {
  std::string name;
  std::string remark;
};
/// "cuda" -> cuda:0. Throws input error for what is no device.
KtDevice parse_kt_device(const base::Yaml& value);

}  // namespace ktx::placement
