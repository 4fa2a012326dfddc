// The model's template, another one, or a built-in format with a warning.
#include "engine/chat.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;
using test::failure;

namespace {

constexpr const char* hi = R"([{"role": "user", "content": "Hi"}])";

// A model's folder with this in its tokenizer_config.json.
std::filesystem::path model_with(const Json& config, const std::string& name) {
  const auto folder = test::own_file("chat_" + name);
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(test::data_dir / "tokenizer/tiny-v3-tokenizer.json",
                             folder / "tokenizer.json");
  Json all = base::read_json(test::data_dir / "tokenizer/tiny-v3-tokenizer-config.json");
  all.erase("chat_template");
  all.update(config);
  base::write_file(folder / "tokenizer_config.json", base::dump_json(all));
  return folder;
}

}  // namespace

TEST_CASE("chats follow the model's template, and its tool template where there are tools") {
  const auto model = model_with(
      {{"chat_template",
        {{{"name", "default"},
          {"template",
           "{{ bos_token }}{{ messages[-1].content }}{{ x }}{{ add_generation_prompt }}"}},
         {{"name", "tool_use"}, {"template", "{{ tools | tojson }}"}}}}},
      "named");
  const auto tokenizer = Tokenizer::open(model);
  CHECK(tokenizer.chat_format() ==
        "chat template of " + (model / "tokenizer_config.json").string());
  CHECK(tokenizer.chat_warning().empty());
  const auto bos = tokenizer.decode(std::vector<int32_t>{*tokenizer.bos()}, true);
  CHECK(tokenizer.render_chat(hi) == bos + "HiTrue");
  CHECK(tokenizer.render_chat(hi, {.variables = {{"x", "[1, \"a\"]"}}}) == bos + "Hi[1, 'a']True");
  CHECK(tokenizer.render_chat(hi, {.generation_prompt = false}) == bos + "HiFalse");
  CHECK(tokenizer.render_chat(hi, {.tools = "[{\"a\": 1}]"}) == "[{\"a\": 1}]");
  const auto ids = tokenizer.encode_chat({{ChatMessage::Role::user, "Hi"}});
  CHECK(std::count(ids.begin(), ids.end(), *tokenizer.bos()) == 1);
  CHECK(failure([&] {
          tokenizer.render_chat(hi, {.variables = {{"x", "{"}}});
        }).starts_with("input variable x:1:"));
  CHECK(failure([&] { tokenizer.render_chat("{"); }).starts_with("input messages:1:"));
}

TEST_CASE("a template from a file stands above the model's own, and needs no model") {
  const auto file = test::own_file("chat_file.jinja");
  base::write_file(file, "<{{ messages[0].role }}{{ name | default('-') }}>");
  const ChatOptions options{.chat_template = file, .variables = {{"name", "\"n\""}}};
  CHECK(Tokenizer::open(test::shipped_model).render_chat(hi, options) == "<usern>");
  CHECK(render_chat(hi, options) == "<usern>");
  CHECK(render_chat(hi, {.chat_template = file}) == "<user->");
}

TEST_CASE("a template that makes no text of a conversation is refused with its name") {
  const auto file = test::own_file("chat_empty.jinja");
  base::write_file(file, "{% if false %}never{% endif %}");
  const auto tokenizer = Tokenizer::open(test::shipped_model);
  CHECK(tokenizer.render_chat(hi, {.chat_template = file}).empty());
  CHECK(failure([&] {
          tokenizer.encode_chat({{ChatMessage::Role::user, "Hi"}}, {.chat_template = file});
        }) == "input " + file.string() + ": the chat template makes no text of this conversation");
}

TEST_CASE("a built-in format stands in, and says so") {
  const auto without = Tokenizer::open(model_with(Json::object(), "without"));
  CHECK(without.chat_format() == "deepseek-v3");
  CHECK(without.chat_warning().starts_with("the model has no chat template; chats follow ktx's"));
  CHECK(without.render_chat(hi).ends_with("<｜User｜>Hi<｜Assistant｜>"));
  CHECK(failure([&] {
          without.render_chat(hi, {.variables = {{"x", "1"}}});
        }).find("need a chat template") != std::string::npos);
  CHECK(failure([&] {
          without.render_chat(R"([{"role": "tool", "content": ""}])");
        }).find("role 'tool' needs a chat template") != std::string::npos);
  const auto broken =
      Tokenizer::open(model_with({{"chat_template", "<｜User｜>{% if %}"}}, "broken"));
  CHECK(broken.chat_format() == "deepseek-v3");
  CHECK(broken.chat_warning().find("tokenizer_config.json:1:15") != std::string::npos);
}

TEST_CASE("the token that ends the assistant's turn in the template stops an answer") {
  const auto stops = [](const std::string& chat_template, const std::string& name) {
    return Tokenizer::open(model_with({{"chat_template", chat_template}}, name)).stop_ids();
  };
  const std::string turns = "{% for m in messages %}{{ m.content }}";
  const auto plain = stops(turns + "{% endfor %}", "no_end");
  const auto ended = stops(turns + "<｜User｜>{% endfor %}", "own_end");
  REQUIRE(ended.size() == plain.size() + 1);
  const auto tokenizer = Tokenizer::open(test::shipped_model);
  CHECK(ended.back() == tokenizer.encode("<｜User｜>").front());
  CHECK(stops("{{ raise_exception('no') }}", "refusing") == plain);
}
