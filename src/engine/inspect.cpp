// ktx::inspect and write_safetensors: the public view of checkpoints.
#include <algorithm>

#include "core/base/json.hpp"
#include "core/quant/format.hpp"
#include "engine/build_model.hpp"
#include "engine/source.hpp"
#include "ktx/checkpoint.hpp"
#include "loader/safetensors_writer.hpp"

namespace ktx {

namespace {

ModuleSummary summarize(const graph::Module& module) {
  ModuleSummary out{.path = module.path,
                    .op = module.op,
                    .classes = module.classes,
                    .layer = module.layer,
                    .unused = module.unused};
  for (const auto& weight : module.weights) {
    out.weights += weight.weights();
    const std::string format(quant::name(weight.source));
    if (std::find(out.formats.begin(), out.formats.end(), format) == out.formats.end())
      out.formats.push_back(format);
  }
  return out;
}

}  // namespace

CheckpointSummary inspect(const std::filesystem::path& path, bool header_only) {
  const auto source = engine::open_source(path, {.header_only = header_only});
  const auto model = engine::build_model(*source, true);
  CheckpointSummary out{.architecture = model.info.architecture,
                        .name = model.info.name,
                        .layers = model.info.layers,
                        .hidden = model.info.hidden,
                        .vocab = model.info.vocab,
                        .experts = model.info.experts,
                        .experts_per_token = model.info.experts_per_token,
                        .context = model.info.context,
                        .metadata = base::dump_json(source->config(), 2),
                        .graph = graph::print(model)};
  for (const auto& tensor : source->tensors()) {
    const uint64_t bytes = source->tensor_bytes(tensor);
    out.tensors.push_back({.name = tensor.name,
                           .format = std::string(quant::name(tensor.format)),
                           .file = tensor.where,
                           .shape = tensor.shape,
                           .bytes = bytes});
    out.bytes += bytes;
    out.weights += loader::matrix_rows(tensor) * loader::matrix_cols(tensor);
  }
  for (const auto& module : model.modules) out.modules.push_back(summarize(module));
  return out;
}

void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors) {
  std::vector<loader::NamedArray> all;
  for (const auto& tensor : tensors) all.push_back({tensor.name, tensor.shape, tensor.values});
  loader::write_safetensors(file, all);
}

}  // namespace ktx
