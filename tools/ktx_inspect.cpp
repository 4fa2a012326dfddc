// ktx-inspect: what is in a checkpoint.
#include <sstream>

#include "ktx/checkpoint.hpp"
#include "tools/common/cli.hpp"
#include "tools/common/json.hpp"
#include "tools/common/text.hpp"

namespace {

using ktx::CheckpointSummary;
using ktx::tools::join;
using ktx::tools::Json;
using ktx::tools::padded;
using ktx::tools::shape_text;

Json summary_json(const CheckpointSummary& s) {
  return {{"architecture", s.architecture},
          {"name", s.name},
          {"layers", s.layers},
          {"hidden", s.hidden},
          {"vocab", s.vocab},
          {"context", s.context},
          {"experts", s.experts},
          {"experts_per_token", s.experts_per_token},
          {"weights", s.weights},
          {"tensors", s.tensors.size()},
          {"bytes", s.bytes}};
}

std::string summary_text(const CheckpointSummary& s) {
  std::string out;
  const Json json = summary_json(s);  // must outlive items()
  for (const auto& [key, value] : json.items())
    out += padded(key, 20) + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n";
  return out;
}

Json tensors_json(const CheckpointSummary& s) {
  Json out = Json::array();
  for (const auto& t : s.tensors)
    out.push_back({{"name", t.name},
                   {"format", t.format},
                   {"shape", t.shape},
                   {"bytes", t.bytes},
                   {"file", t.file}});
  return out;
}

std::string tensors_text(const CheckpointSummary& s) {
  std::string out;
  for (const auto& t : s.tensors)
    out += padded(t.name, 60) + " " + padded(t.format, 8) + " " + padded(shape_text(t.shape), 20) +
           " " + std::to_string(t.bytes) + "\n";
  return out;
}

Json modules_json(const CheckpointSummary& s) {
  Json out = Json::array();
  for (const auto& m : s.modules)
    out.push_back({{"path", m.path},
                   {"op", m.op},
                   {"classes", m.classes},
                   {"layer", m.layer},
                   {"weights", m.weights},
                   {"formats", m.formats},
                   {"unused", m.unused}});
  return out;
}

std::string modules_text(const CheckpointSummary& s) {
  std::string out;
  for (const auto& m : s.modules) {
    out += padded(m.path, 46) + " " + padded(m.op.empty() ? "-" : m.op, 10) + " " +
           padded(join(m.classes), 34) + " " + padded(join(m.formats), 18) + " " +
           std::to_string(m.weights) + (m.unused.empty() ? "" : "  (not used: " + m.unused + ")") +
           "\n";
  }
  return out;
}

// Arrays of metadata that are longer than this (vocabularies) show their beginning.
constexpr size_t longest_array = 16, shown_of_longer = 8;

void shorten_arrays(Json& json) {
  for (auto& value : json) {
    if (value.is_array() && value.size() > longest_array) {
      const auto count = value.size();
      value.get_ref<Json::array_t&>().resize(shown_of_longer);
      value.push_back("... " + std::to_string(count) + " in all");
    }
    if (value.is_structured()) shorten_arrays(value);
  }
}

std::string metadata_text(const CheckpointSummary& s) {
  auto json = Json::parse(s.metadata);
  shorten_arrays(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json graph_json(const CheckpointSummary& s) {
  Json out = Json::array();
  std::istringstream lines(s.graph);
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  return out;
}

constexpr const char* footer = R"(
  ktx-inspect model.gguf               the model in a few lines
  ktx-inspect model/ --modules         the names and classes that rules match
  ktx-inspect model/ --tensors --json  every tensor with format, shape, bytes and file
  ktx-inspect model.gguf --metadata    long arrays shortened; with --json whole
)";

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path model;
  bool modules = false, tensors = false, metadata = false, graph = false, json = false;
  CLI::App app("Look into a checkpoint without loading it", "ktx-inspect");
  app.footer(footer);
  app.add_option("model", model, "a .gguf, the first file of a split, or a Hugging Face directory")
      ->required()
      ->type_name("MODEL");
  auto* what = app.add_option_group("what to print");
  what->add_flag("--modules", modules, "the module tree: what a rule can match");
  what->add_flag("--tensors", tensors, "every tensor");
  what->add_flag("--metadata", metadata, "config.json, or the GGUF metadata");
  what->add_flag("--graph", graph, "the graph that runs, one line a node");
  what->require_option(0, 1);
  app.add_flag("--json", json, "print JSON");
  return ktx::tools::run_tool(app, argc, argv, [&] {
    const auto summary = ktx::inspect(model, true);
    std::string out;
    if (metadata)
      out = json ? summary.metadata + "\n" : metadata_text(summary);
    else if (graph)
      out = json ? ktx::tools::to_line(graph_json(summary)) : summary.graph;
    else if (tensors)
      out = json ? ktx::tools::to_line(tensors_json(summary)) : tensors_text(summary);
    else if (modules)
      out = json ? ktx::tools::to_line(modules_json(summary)) : modules_text(summary);
    else
      out = json ? ktx::tools::to_line(summary_json(summary)) : summary_text(summary);
    ktx::tools::print(out);
  });
}
