// ktx::synthesize: synthetic checkpoints.
#include "ktx/synth.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/text.hpp"
#include "engine/synth/contents.hpp"
#include "engine/synth/files.hpp"
#include "engine/synth/tensor_writer.hpp"

namespace ktx {
namespace {

namespace fs = std::filesystem;
using namespace engine;

constexpr uint64_t shard_bytes = 5'000'000'000;

/// "DIR/" names DIR.
SynthOptions tidied(SynthOptions options) {
  if (!options.out.has_filename()) options.out = options.out.parent_path();
  if (options.out.empty()) throw_input("expected the name of a file or directory to write");
  return options;
}

/// What kind of checkpoint `out` names.
model::Naming naming_of(const SynthOptions& options) {
  const bool gguf = options.out.extension() == ".gguf";
  const Mix& mix = find_mix(options.mix);
  if (!(gguf ? mix.gguf : mix.hugging_face))
    throw_input("the mix " + options.mix +
                    (gguf ? " is for Hugging Face directories: expected a name without .gguf"
                          : " is for GGUF files: expected a name that ends in .gguf"),
                options.out.string());
  return gguf ? model::Naming::gguf : model::Naming::hugging_face;
}

CheckpointFiles files_of(const SynthOptions& options) {
  const Recipe recipe = recipe_of(options, naming_of(options));
  return checkpoint_files(recipe, contents(recipe), shard_bytes);
}

void check_room(const fs::path& out, uint64_t bytes) {
  std::error_code ec;
  const fs::path folder = out.has_parent_path() ? out.parent_path() : fs::path(".");
  const fs::space_info space = fs::space(folder, ec);
  if (ec) throw_environment("can't be written: " + ec.message(), out.string());
  if (space.available < bytes)
    throw_environment("needs " + base::format_bytes(bytes) + ", but the disk has " +
                          base::format_bytes(space.available) + " free",
                      out.string());
}

/// A directory beside `out` that becomes `out` by commit(), and is removed without it.
class PartialDirectory {
 public:
  explicit PartialDirectory(const fs::path& out)
      : out_(out), path_(out.parent_path() / (".ktx-" + std::to_string(::getpid()) + ".partial")) {
    std::error_code ec;
    if (!fs::create_directory(path_, ec) && !ec) ec = std::make_error_code(std::errc::file_exists);
    if (ec) throw_environment("can't be written: " + ec.message(), out.string());
  }
  ~PartialDirectory() {
    std::error_code ec;
    if (!committed_) fs::remove_all(path_, ec);
  }
  PartialDirectory(const PartialDirectory&) = delete;
  PartialDirectory& operator=(const PartialDirectory&) = delete;

  const fs::path& path() const noexcept { return path_; }
  void commit() {
    std::error_code ec;
    fs::rename(path_, out_, ec);
    if (ec) throw_environment("can't be written: " + ec.message(), out_.string());
    committed_ = true;
  }

 private:
  fs::path out_, path_;
  bool committed_ = false;
};

/// Counts what was written and passes it on.
class Progress {
 public:
  Progress(const SynthOptions& options, uint64_t total) : options_(options) {
    progress_.total = total;
  }

  void write(const TensorFile& file, const fs::path& path) {
    progress_.file = path.filename().string();
    base::PartialFile out(path);
    const int cpus = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
    write_tensors(out, file,
                  {.seed = options_.seed,
                   .threads = options_.threads > 0 ? options_.threads : std::min(cpus, 8),
                   .wrote = [this](uint64_t bytes) { add(bytes); }});
    out.commit();
  }

 private:
  void add(uint64_t bytes) {
    progress_.done += bytes;
    if (options_.progress && !options_.progress(progress_))
      throw_environment("stopped; nothing was kept", options_.out.string());
  }

  const SynthOptions& options_;
  SynthProgress progress_;
};

void write_directory(const CheckpointFiles& files, const SynthOptions& options) {
  PartialDirectory directory(options.out);
  Progress progress(options, files.bytes());
  for (const TensorFile& file : files.tensors) progress.write(file, directory.path() / file.name);
  for (const auto& text : files.texts) base::write_file(directory.path() / text.name, text.content);
  directory.commit();
}

}  // namespace

std::vector<SynthChoice> synth_models() {
  std::vector<SynthChoice> out;
  for (const PublishedModel& model : published_models())
    out.push_back({std::string(model.name), std::string(model.title)});
  return out;
}

std::vector<SynthChoice> synth_mixes() {
  std::vector<SynthChoice> out;
  for (const Mix& mix : mixes()) out.push_back({std::string(mix.name), std::string(mix.doc)});
  return out;
}

uint64_t synth_bytes(const SynthOptions& options) {
  return files_of(tidied(options)).bytes();
}

SynthReport synthesize(const SynthOptions& asked) {
  const SynthOptions options = tidied(asked);
  const auto start = std::chrono::steady_clock::now();
  const CheckpointFiles files = files_of(options);
  std::error_code ec;
  if (fs::exists(fs::symlink_status(options.out, ec)))
    throw_input("exists already; remove it or choose another name", options.out.string());
  check_room(options.out, files.bytes());
  if (files.tensors.front().name.empty()) {
    Progress(options, files.bytes()).write(files.tensors.front(), options.out);
  } else {
    write_directory(files, options);
  }
  SynthReport report{.bytes = files.bytes()};
  for (const TensorFile& file : files.tensors)
    for (const SynthTensor& tensor : file.tensors) report.weights += tensor.weights();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace ktx
