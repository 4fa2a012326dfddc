// The table of a chat's commands: what each does to the chat, and what wrong ones say.
#include "tools/common/chat_commands.hpp"

#include <string>

#include "catch.hpp"
#include "ktx/error.hpp"
#include "support/own_file.hpp"

using ktx::ChatMessage;
using ktx::tools::ChatState;
using ktx::tools::is_command;
using ktx::tools::run_command;
using Role = ChatMessage::Role;

namespace {

ChatState talked() {
  ChatState state;
  state.conversation = {{Role::system, "Be brief."}, {Role::user, "Hi"}, {Role::assistant, "Yes?"}};
  state.max_experts = 8;
  return state;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("commands: a slash and a word, whether it is known or not") {
  for (const auto* line : {"/help", "/experts 6", "/nothing", "/", "/?", "/experts6"})
    CHECK(is_command(line));
  for (const auto* line :
       {"", "help", " /help", "/usr/bin is what?", "/* C */", "//", "/etc/fstab\n/"})
    CHECK_FALSE(is_command(line));
}

TEST_CASE("commands: /help has every command and what it takes") {
  ChatState state;
  const auto text = run_command(state, "/help");
  CHECK(ktx::tools::chat_commands().size() == 7);
  for (const auto& command : ktx::tools::chat_commands())
    CHECK(has(text, std::string(command.name) + " " + std::string(command.argument)));
}

TEST_CASE("commands: /experts takes what the engine allows") {
  auto state = talked();
  CHECK(run_command(state, "/experts 6") == "6 experts per token\n");
  CHECK(state.experts_per_token == 6);
  for (const std::string wrong : {"0", "9", "x", "6x", "-1", "6 7", "99999999999999999999"}) {
    CHECK_THROWS_WITH(run_command(state, "/experts " + wrong),
                      "/experts: expected 1 to 8, found '" + wrong + "'");
    CHECK(state.experts_per_token == 6);
  }
  CHECK(run_command(state, "/experts ") == "the plan's experts per token\n");
  CHECK(state.experts_per_token == 0);
  state.max_experts = 0;
  CHECK_THROWS_WITH(run_command(state, "/experts 1"), "/experts: the model has no routed experts");
}

TEST_CASE("commands: /system changes the first message only, /reset keeps it") {
  auto state = talked();
  run_command(state, "/system Be kind.\nAnd short. ");
  REQUIRE(state.conversation.size() == 3);
  CHECK(state.conversation[0].role == Role::system);
  CHECK(state.conversation[0].content == "Be kind.\nAnd short.");
  run_command(state, "/reset");
  REQUIRE(state.conversation.size() == 1);
  CHECK(state.conversation[0].content == "Be kind.\nAnd short.");
  run_command(state, "/system");
  CHECK(state.conversation.empty());
  state.conversation = {{Role::user, "Hi"}};
  run_command(state, "/system Be brief.");
  REQUIRE(state.conversation.size() == 2);
  CHECK(state.conversation[0].role == Role::system);
  CHECK(state.conversation[1].content == "Hi");
}

TEST_CASE("commands: what /save writes /load reads") {
  const auto file = ktx::test::own_file("chat_commands_test.json");
  auto state = talked();
  CHECK(run_command(state, "/save " + file.string()) == "3 messages written\n");
  ChatState other;
  CHECK(run_command(other, "/load  " + file.string() + " ") == "3 messages read\n");
  REQUIRE(other.conversation.size() == 3);
  CHECK(other.conversation[2].role == Role::assistant);
  CHECK(other.conversation[2].content == "Yes?");
  CHECK_THROWS_WITH(run_command(other, "/load /nowhere/x.json"),
                    "/nowhere/x.json: can't be read: No such file or directory");
  CHECK(other.conversation.size() == 3);
  CHECK_THROWS_WITH(run_command(other, "/save"), "/save: expected /save FILE");
}

TEST_CASE("commands: /exit ends the chat") {
  auto state = talked();
  CHECK_THROWS_WITH(run_command(state, "/exit now"),
                    "/exit: expected nothing after it, found 'now'");
  CHECK_FALSE(state.ended);
  CHECK(run_command(state, "/exit").empty());
  CHECK(state.ended);
}

TEST_CASE("commands: an unknown one names the nearest") {
  auto state = talked();
  const auto nearest = [&state](const std::string& line) -> std::string {
    try {
      run_command(state, line);
    } catch (const ktx::Error& e) {
      return e.what();
    }
    return "no error";
  };
  CHECK(has(nearest("/hepl"), "no command '/hepl'\n  note: did you mean /help?"));
  CHECK(has(nearest("/expert 6"), "did you mean /experts?"));
  CHECK(has(nearest("/rest"), "did you mean /reset?"));
  CHECK(nearest("/clear") ==
        "no command '/clear'\n"
        "  note: commands: /help, /experts, /system, /reset, /save, /load, /exit\n"
        "  note: put a space before a message that begins with /");
}
