// Every place where models keep their templates, and which counts first.
#include "text/chat_template_files.hpp"

#include <filesystem>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "support/temp_dir.hpp"

using namespace ktx::text;
using ktx::Json;
using ktx::base::write_file;
using ktx::test::failure;

namespace {

std::string found(const ChatFiles& files, const std::string& name) {
  const auto* named = find_template(files.templates, name);
  return named == nullptr ? "none" : named->source;
}

}  // namespace

TEST_CASE("a directory's templates: files first, then tokenizer_config.json, then older places") {
  const ktx::test::TempDir dir;
  const auto& folder = dir.path();
  std::filesystem::create_directories(folder / "assets");
  std::filesystem::create_directories(folder / "additional_chat_templates");
  const auto files = [&](const Json& config) { return chat_files_of_directory(folder, config); };
  const Json text{{"chat_template", "of config"}};
  const Json list{{"chat_template",
                   {{{"name", "default"}, {"template", "of list"}},
                    {{"name", "tool_use"}, {"template", "tools of list"}}}}};
  CHECK(found(files(nullptr), "default") == "none");
  write_file(folder / "assets/chat_template.jinja", "of assets");
  CHECK(found(files(nullptr), "default") == "of assets");
  write_file(folder / "chat_template.json", R"({"chat_template": "of json"})");
  CHECK(found(files(Json::object()), "default") == "of json");
  CHECK(found(files(text), "default") == "of config");
  CHECK(found(files(text), "tool_use") == "of config");
  CHECK(found(files(list), "default") == "of list");
  CHECK(found(files(list), "tool_use") == "tools of list");
  write_file(folder / "additional_chat_templates/tool_use.jinja", "tools of file");
  write_file(folder / "additional_chat_templates/notes.txt", "none");
  write_file(folder / "chat_template.jinja", "of file\n");
  CHECK(found(files(list), "default") == "of file\n");
  CHECK(found(files(list), "tool_use") == "tools of file");
  CHECK(find_template(files(list).templates, "tool_use")->where.ends_with("tool_use.jinja"));
  CHECK(found(files(list), "notes") == "of file\n");
}

TEST_CASE("a GGUF file's templates: one, and further ones by name") {
  const Json metadata{{"tokenizer.chat_template.tool_use", "tools"},
                      {"tokenizer.chat_template", "plain"},
                      {"tokenizer.chat_templates", {"tool_use"}},
                      {"tokenizer.chat_template_kwargs", "x"}};
  const auto files = chat_files_of_gguf(metadata, "m.gguf");
  CHECK(files.templates.size() == 2);
  CHECK(found(files, "default") == "plain");
  CHECK(found(files, "tool_use") == "tools");
  CHECK(find_template(files.templates, "default")->where == "m.gguf: tokenizer.chat_template");
  CHECK(chat_files_of_gguf(Json::object(), "m.gguf").templates.empty());
}

TEST_CASE("special tokens are texts, or objects with content; other keys are none") {
  const Json config{{"bos_token", "<s>"},
                    {"eos_token", {{"content", "</s>"}, {"lstrip", false}}},
                    {"pad_token", nullptr},
                    {"add_bos_token", true},
                    {"chat_template", "x"}};
  CHECK(chat_files_of_directory("nowhere", config).special_tokens ==
        Json{{"bos_token", "<s>"}, {"eos_token", "</s>"}});
}

TEST_CASE("malformed templates are input errors that name the file") {
  const auto message = [](const Json& value) {
    return failure([&] { chat_files_of_directory("d", Json{{"chat_template", value}}); });
  };
  CHECK(message(1).starts_with("input d/tokenizer_config.json: 'chat_template'"));
  CHECK(message({1}).find("expected an object") != std::string::npos);
  CHECK(message(Json::array({{{"name", "a"}}})).find("'template' is missing") != std::string::npos);
}
