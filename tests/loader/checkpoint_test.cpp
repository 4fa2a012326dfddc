// Which kind of checkpoint a path is, and what is said of paths that are none.
#include "loader/checkpoint.hpp"

#include "catch.hpp"
#include "raw_gguf.hpp"

namespace ktx::loader {
namespace {
namespace fs = std::filesystem;

std::string what_of(const fs::path& path) {
  const auto error = error_of([&] { open_checkpoint(path); });
  if (!error) return "no error";
  CHECK(error->category() == ErrorCategory::input);
  return error->what();
}

TEST_CASE("paths that are no model") {
  const TempDir dir;
  const std::string path = dir.path().string();
  CHECK(
      what_of(dir.path() / "none.gguf") ==
      path +
          "/none.gguf: no such file or directory\n  note: a model is a .gguf file, the first file "
          "of a split one, or a Hugging Face directory with config.json and safetensors files");
  CHECK(what_of(dir.path()) ==
        path + ": expected a Hugging Face directory, found no config.json in it");
  dir.write("b.gguf", "");
  dir.write("a.gguf", "");
  CHECK(what_of(dir.path()) == path +
                                   ": the directory holds several GGUF models: give the file of "
                                   "one\n  note: there are: a.gguf, b.gguf");
  CHECK(what_of(dir.write("m.safetensors", "x")) ==
        path +
            "/m.safetensors: a safetensors file alone is no model: expected its directory, with "
            "config.json");
  CHECK(what_of("/dev/null") == "/dev/null: expected a regular file");
}

TEST_CASE("a GGUF file of any name is known by its first bytes") {
  const TempDir dir;
  const auto file = dir.write("model", RawGguf().key("a", gguf_u8, "\x01").bytes());
  CHECK(open_checkpoint(file)->kind() == CheckpointKind::gguf);
}

TEST_CASE("a directory of one GGUF model, with config.json and other things beside it") {
  const TempDir dir;
  dir.write("config.json", "{}");
  dir.write("mmproj-f16.gguf", "");
  CHECK(what_of(dir.path()) ==
        dir.path().string() +
            ": expected a Hugging Face directory, found no safetensors files in it");
  dir.write("m.gguf", RawGguf().key("a", gguf_u8, "\x01").bytes());
  CHECK(open_checkpoint(dir.path())->path() == dir.path() / "m.gguf");
  // The first file of a split stands before single files.
  dir.write("n-00001-of-00001.gguf", RawGguf().key("a", gguf_u8, "\x01").bytes());
  CHECK(open_checkpoint(dir.path())->path() == dir.path() / "n-00001-of-00001.gguf");
}

TEST_CASE("what stands for a file that was not downloaded is named") {
  const TempDir dir;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
  const std::string lfs = ": a Git LFS pointer, not the file itself: 'git lfs pull' fetches it";
  const auto gguf = dir.write("m.gguf", pointer);
  CHECK(what_of(gguf) == gguf.string() + lfs);
  dir.write("config.json", "{}");
  const auto weights = dir.write("model.safetensors", pointer);
  CHECK(what_of(dir.path()) == weights.string() + lfs);
  const auto config = dir.write("config.json", "\n<!DOCTYPE html><html>");
  CHECK(what_of(dir.path()) ==
        config.string() + ": an HTML page, not the file itself: the download went wrong");
}

TEST_CASE("keys that the user overrides") {
  const TempDir dir;
  const auto file = dir.write("m.gguf", RawGguf().key("a", gguf_u8, "\x01").bytes());
  CHECK(open_checkpoint(file, {.overrides = {"a=2", "b.c=x"}})->config() ==
        Json({{"a", 2}, {"b.c", "x"}}));
}

TEST_CASE("tokenizer files of a directory, without weights") {
  const TempDir dir;
  const auto error = error_of([&] { read_tokenizer_files(dir.path()); });
  REQUIRE(error);
  CHECK(std::string(error->what()) ==
        dir.path().string() +
            ": expected a directory with a tokenizer.json or a tiktoken.model, found neither");
  dir.write("tokenizer.model", "protobuf");
  CHECK(std::string(error_of([&] { read_tokenizer_files(dir.path()); })->what())
            .ends_with("note: SentencePiece's tokenizer.model is not read; its tokenizer.json is"));
  dir.write("tiktoken.model", "YQ== 0");
  CHECK(read_tokenizer_files(dir.path()).tiktoken == "YQ== 0");
  dir.write("tokenizer.json", R"({"model":{"vocab":{"a":0}}})");
  TokenizerFiles files = read_tokenizer_files(dir.path());
  CHECK(files.tokenizer["model"]["vocab"]["a"] == 0);
  CHECK(files.tokenizer_config.is_null());
  CHECK(files.gguf.is_null());
  dir.write("tokenizer_config.json", R"({"chat_template":"x"})");
  dir.write("config.json", R"({"model_type":"y"})");
  dir.write("generation_config.json", R"({"eos_token_id":1})");
  files = read_tokenizer_files(dir.path());
  CHECK(files.tokenizer_config["chat_template"] == "x");
  CHECK(files.config["model_type"] == "y");
  CHECK(files.generation_config["eos_token_id"] == 1);
  CHECK(files.file == dir.path() / "tokenizer.json");
  CHECK(files.tiktoken.empty());
  files = read_tokenizer_files(dir.path() / "tokenizer.json");
  CHECK(files.tokenizer["model"]["vocab"]["a"] == 0);
  CHECK(files.generation_config["eos_token_id"] == 1);
  files = read_tokenizer_files(dir.path() / "tiktoken.model");
  CHECK(files.tiktoken == "YQ== 0");
  CHECK(files.tokenizer.is_null());
  CHECK(files.tokenizer_config["chat_template"] == "x");
}

TEST_CASE("tokenizer files of a GGUF file are its metadata, even when its tensors are cut off") {
  const TempDir dir;
  RawGguf w;
  w.key("tokenizer.ggml.model", gguf_text, gguf_string("gpt2"));
  w.tensor("t", {8}, 0, std::string(32, 'x'));
  const std::string bytes = w.bytes();
  const auto file = dir.write("m.gguf", bytes.substr(0, bytes.size() - 60));
  CHECK(what_of(file) != "no error");
  const TokenizerFiles files = read_tokenizer_files(file);
  CHECK(files.gguf["tokenizer.ggml.model"] == "gpt2");
  CHECK(files.tokenizer.is_null());
}

}  // namespace
}  // namespace ktx::loader
