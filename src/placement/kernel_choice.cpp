// Kernel choice.
#include "placement/kernel_choice.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "ops/attention/mla.hpp"

namespace ktx::placement {

namespace {

using Layouts = std::vector<ops::Layout>;

std::string_view layout_name(ops::Layout layout) {
  return layout == ops::Layout::rows ? "row by row" : "in groups of 16 rows";
}

std::string full_name(const KernelTask& task, std::string_view kernel) {
  return std::string(graph::info(task.op).name) + "." + std::string(kernel);
}

Layouts layouts_of(const KernelTask& task, std::string_view kernel) {
  Layouts layouts(task.formats.size(), ops::Layout::rows);
  for (size_t i = 0; i < layouts.size(); ++i) {
    const auto& weight = task.module->weights[i];
    if (task.device_kind != "cpu")
      layouts[i] = ops::gpu_layout(task.op, weight);
    else if (is_packed(task.op, weight))
      layouts[i] = matmul_kernel(task, kernel, i).layout(task.formats[i]);
  }
  return layouts;
}

// Empty when the machine and the kernel itself allow it, else why not.
std::string reason_against(const KernelTask& task, const ops::KernelRow& row) {
  if (row.device != task.device_kind)
    return "runs on " + std::string(row.device) + " devices, not on " + task.device_kind;
  if (row.isa > task.isa)
    return "needs " + std::string(hw::name(row.isa)) + ", the machine has " +
           std::string(hw::name(task.isa));
  return row.refusal(row, task.query());
}

std::string slow_path_of(const KernelTask& task, const ops::KernelRow& row) {
  return ops::slow_path(row, task.query());
}

std::string layout_reason(const KernelTask& task, const Layouts& own, const Layouts& other,
                          std::string_view other_kernel) {
  for (size_t i = 0; i < own.size(); ++i)
    if (own[i] != other[i])
      return "reads '" + task.module->weights[i].role + "' " + std::string(layout_name(own[i])) +
             ", the other phase's kernel " + full_name(task, other_kernel) + " reads it " +
             std::string(layout_name(other[i]));
  return "";
}

std::string usable_kernels(const KernelTask& task, std::span<const ops::KernelRow> rows) {
  std::vector<std::string> names{full_name(task, "auto")};
  for (const auto& row : rows)
    if (reason_against(task, row).empty()) names.push_back(full_name(task, row.name));
  return "ops that can run it here: " + base::join(names);
}

KernelPick pick_named(const KernelTask& task, std::span<const ops::KernelRow> rows,
                      const OpChoice& choice) {
  for (const auto& row : rows) {
    if (row.name != choice.kernel || row.device != task.device_kind) continue;
    const auto reason = reason_against(task, row);
    if (reason.empty()) return {choice.kernel, {}, slow_path_of(task, row)};
    const std::string message =
        "op " + full_name(task, choice.kernel) + " can't run " + task.module->path + ": " + reason;
    if (row.isa > task.isa) throw_environment(message, choice.where, {usable_kernels(task, rows)});
    throw_input(message, choice.where, {usable_kernels(task, rows)});
  }
  throw_input(
      "op " + full_name(task, choice.kernel) + " does not run on " + task.device_kind + " devices",
      choice.where, {usable_kernels(task, rows)});
}

// Whether the rule leaves the choice of this phase's kernel to the planner.
bool is_auto(const OpChoice& choice, std::span<const ops::KernelRow> rows, bool decode) {
  const auto named = std::ranges::find(rows, choice.kernel, &ops::KernelRow::name);
  return choice.kernel == "auto" || (decode && named != rows.end() && named->for_prefill);
}

// other: the kernel already chosen for the other phase, whose layouts this one must share; or null.
KernelPick pick_best(const KernelTask& task, std::span<const ops::KernelRow> rows,
                     const OpChoice& choice, bool decode, const KernelPick* other) {
  KernelPick pick;
  for (const auto& row : rows) {
    if (row.device != task.device_kind || (decode && row.for_prefill)) continue;
    auto reason = reason_against(task, row);
    if (reason.empty() && other != nullptr)
      reason = layout_reason(task, layouts_of(task, row.name), layouts_of(task, other->name),
                             other->name);
    if (reason.empty()) {
      pick.name = row.name;
      pick.slow_path = slow_path_of(task, row);
      return pick;
    }
    pick.skipped.push_back({std::string(row.name), std::move(reason)});
  }
  std::vector<std::string> notes;
  for (const auto& skipped : pick.skipped)
    notes.push_back(full_name(task, skipped.name) + " " + skipped.reason);
  if (task.device_kind != "cpu")
    notes.push_back("device: cpu runs it; formats that a GPU runs: " +
                    gpu_formats(task.op, *task.module));
  throw_input("no kernel of op '" + std::string(graph::info(task.op).name) + "' can run " +
                  task.module->path + " on " + task.device_kind,
              choice.where, std::move(notes));
}

}  // namespace

bool is_packed(graph::Op op, const graph::Weight& weight) noexcept {
  const bool multiplies = op == graph::Op::linear || op == graph::Op::moe || op == graph::Op::mla;
  return multiplies && weight.role != "bias";
}

const ops::MatmulKernel& matmul_kernel(const KernelTask& task, std::string_view kernel,
                                       size_t weight) {
  const auto& w = task.module->weights[weight];
  if (task.op == graph::Op::mla) {
    const auto* attention = ops::find_attention_kernel(kernel);
    require(attention != nullptr, "no such kernel of mla");
    return ops::mla_matmul_kernel(*attention, task.isa, task.formats[weight], w.rows, w.cols);
  }
  const auto* found = ops::find_matmul_kernel(kernel);
  require(found != nullptr, "no such matmul kernel");
  return *found;
}

std::string gpu_refusal(graph::Op op, const graph::Module& module,
                        std::span<const quant::Format> formats) {
  const auto rows = ops::kernels(op);
  const auto of_gpus = std::ranges::find(rows, "cuda", &ops::KernelRow::device);
  return of_gpus->refusal(*of_gpus, {&module, formats});
}

std::string gpu_formats(graph::Op op, const graph::Module& module) {
  std::vector<std::string> names;
  for (const auto& format : quant::formats()) {
    const std::vector<quant::Format> formats(module.weights.size(), format.format);
    if (format.encode != nullptr && gpu_refusal(op, module, formats).empty())
      names.emplace_back(format.name);
  }
  return names.empty() ? "none" : base::join(names);
}

KernelChoice choose_kernels(const KernelTask& task, std::span<const ops::KernelRow> rows,
                            const OpChoice& decode, const OpChoice& prefill) {
  KernelChoice choice;
  const bool decode_named = !is_auto(decode, rows, true);
  const bool prefill_named = !is_auto(prefill, rows, false);
  if (decode_named) choice.decode = pick_named(task, rows, decode);
  if (prefill_named) choice.prefill = pick_named(task, rows, prefill);
  if (!decode_named)
    choice.decode = pick_best(task, rows, decode, true, prefill_named ? &choice.prefill : nullptr);
  if (!prefill_named) choice.prefill = pick_best(task, rows, prefill, false, &choice.decode);
  choice.layouts = layouts_of(task, choice.decode.name);
  const auto reason = layout_reason(task, layouts_of(task, choice.prefill.name), choice.layouts,
                                    choice.decode.name);
  if (!reason.empty())
    throw_input("op " + full_name(task, choice.prefill.name) + " can't prefill " +
                    task.module->path + ": " + reason,
                prefill.where,
                {"the weights are stored once: name kernels of one layout, or leave one to " +
                 full_name(task, "auto")});
  return choice;
}

}  // namespace ktx::placement
