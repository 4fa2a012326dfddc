// Reads chat templates from a model's files.
#include "text/chat_template_files.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "text/fields.hpp"

namespace ktx::text {

namespace {

namespace fs = std::filesystem;

void add_file(const fs::path& file, std::string name, std::vector<NamedTemplate>& out) {
  if (fs::is_regular_file(file))
    out.push_back({std::move(name), base::read_text(file), file.string()});
}

void add_folder(const fs::path& folder, std::vector<NamedTemplate>& out) {
  if (!fs::is_directory(folder)) return;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  std::ranges::sort(files);
  for (const auto& file : files) add_file(file, file.stem().string(), out);
}

// A text, or a list of {name, template}.
void add_json(const Json& object, const std::string& where, std::vector<NamedTemplate>& out) {
  const Json* value = member(expect_object(object, "chat_template", where), "chat_template");
  if (value == nullptr) return;
  if (!value->is_array()) {
    out.push_back({"default", expect_string(*value, "chat_template", where), where});
    return;
  }
  for (const auto& entry : *value) {
    expect_object(entry, "chat_template", where);
    out.push_back({expect_string(required(entry, "name", where), "name", where),
                   expect_string(required(entry, "template", where), "template", where), where});
  }
}

// Those of tokenizer_config.json: texts, or objects with `content`.
Json special_tokens_of(const Json& tokenizer_config) {
  Json out = Json::object();
  if (!tokenizer_config.is_object()) return out;
  for (const auto& [name, value] : tokenizer_config.items()) {
    if (!name.ends_with("_token")) continue;
    const Json* text = value.is_object() ? member(value, "content") : &value;
    if (text != nullptr && text->is_string()) base::append(out, name, *text);
  }
  return out;
}

}  // namespace

ChatFiles chat_files_of_directory(const fs::path& directory, const Json& tokenizer_config) {
  std::vector<NamedTemplate> out;
  add_file(directory / "chat_template.jinja", "default", out);
  add_folder(directory / "additional_chat_templates", out);
  if (!tokenizer_config.is_null())
    add_json(tokenizer_config, (directory / "tokenizer_config.json").string(), out);
  const fs::path json = directory / "chat_template.json";
  if (fs::is_regular_file(json)) add_json(base::read_json(json), json.string(), out);
  add_file(directory / "assets" / "chat_template.jinja", "default", out);
  return {std::move(out), special_tokens_of(tokenizer_config)};
}

ChatFiles chat_files_of_gguf(const Json& metadata, const std::string& where) {
  const std::string key = "tokenizer.chat_template";
  ChatFiles out;
  for (const auto& [name, value] : metadata.items()) {
    if (!name.starts_with(key) || name == "tokenizer.chat_templates") continue;
    if (name.size() > key.size() && name[key.size()] != '.') continue;
    out.templates.push_back({name.size() > key.size() ? name.substr(key.size() + 1) : "default",
                             expect_string(value, name, where), where + ": " + name});
  }
  return out;
}

const NamedTemplate* find_template(const std::vector<NamedTemplate>& templates,
                                   std::string_view name) {
  const auto named = [&](std::string_view wanted) {
    const auto found = std::ranges::find(templates, wanted, &NamedTemplate::name);
    return found == templates.end() ? nullptr : &*found;
  };
  const auto* found = named(name);
  return found != nullptr ? found : named("default");
}

}  // namespace ktx::text
