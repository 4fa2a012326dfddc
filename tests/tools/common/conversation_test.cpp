// A chat's messages as a file: both ways, and files that are none.
#include "tools/common/conversation.hpp"

#include <string>

#include "catch.hpp"
#include "ktx/error.hpp"
#include "support/own_file.hpp"
#include "tools/common/files.hpp"

using ktx::ChatMessage;
using ktx::tools::load_conversation;
using Role = ChatMessage::Role;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("conversation: a file gives back every message") {
  const auto file = ktx::test::own_file("conversation_test.json");
  const ktx::tools::Conversation written = {{Role::system, "Sei kürzer."},
                                            {Role::user, "one\ntwo \"three\" \\ \t 😀"},
                                            {Role::assistant, "<think>hm</think>\n\nfour"}};
  ktx::tools::save_conversation(written, file);
  const auto read = load_conversation(file);
  REQUIRE(read.size() == written.size());
  for (size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].role == written[i].role);
    CHECK(read[i].content == written[i].content);
  }
  ktx::tools::save_conversation({}, file);
  CHECK(load_conversation(file).empty());
}

TEST_CASE("conversation: a template renders the file as it is") {
  const auto file = ktx::test::own_file("conversation_test_messages.json");
  const auto chat_template = ktx::test::own_file("conversation_test.jinja");
  ktx::tools::write_file(chat_template,
                         "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}");
  ktx::tools::save_conversation({{Role::user, "Hi"}, {Role::assistant, "Yes?"}}, file);
  CHECK(ktx::render_chat(ktx::tools::read_file(file), {.chat_template = chat_template}) ==
        "user: Hi;assistant: Yes?;");
}

TEST_CASE("conversation: what is none says where") {
  const auto file = ktx::test::own_file("conversation_test_wrong.json");
  const auto error_of = [&file](const std::string& text) -> std::string {
    ktx::tools::write_file(file, text);
    try {
      load_conversation(file);
    } catch (const ktx::Error& e) {
      return e.what();
    }
    return "no error";
  };
  const std::string name = file.string();
  for (const auto* text : {"", "{}", "[", "\"x\"", "null"})
    CHECK(error_of(text) == name + ": expected a JSON array of messages");
  CHECK(has(error_of(R"([{"role": "user", "content": "Hi"}, 5])"),
            name + ": message 2: expected a message with a text 'role'"));
  CHECK(has(error_of(R"([{"role": "user", "content": ["Hi"]}])"),
            name + ": message 1: expected a message with a text 'content'"));
  CHECK(error_of(R"([{"role": "tool", "content": "Hi"}])") ==
        name + ": message 1: expected the role system, user or assistant, found 'tool'");
}

TEST_CASE("conversation: it opens with the system's message, if there is any") {
  CHECK(ktx::tools::opening("").empty());
  CHECK(ktx::tools::system_message(ktx::tools::opening("Be brief.")) == "Be brief.");
  CHECK(ktx::tools::system_message({{Role::user, "Hi"}}).empty());
}
