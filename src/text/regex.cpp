// PCRE2: compile with a callout before every item, which counts the steps; match with limits, fall
// back from JIT to the interpreter.
#include "text/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "text/unicode.hpp"

namespace ktx::text {

namespace {

constexpr size_t longest_pattern = size_t{1} << 16;  // code units
constexpr uint32_t most_steps = 20'000'000;          // of a call without a budget of its own
constexpr uint32_t most_heap = 256 * 1024;           // KiB, for the interpreter's backtracking

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* p) const noexcept {
    free_function(p);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;

std::string reason_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// A pattern as it may stand in a message: not pages of it.
std::string shown(const std::string& pattern) {
  return "'" + base::shortened(pattern, 200) + "'";
}

template <class T>
T checked(T pointer) {
  if (!pointer) throw_environment("out of memory in the regular expression library");
  return pointer;
}

}  // namespace

struct Regex::Compiled {
  std::string pattern, where;
  Code code;
  uint64_t weight = 1;      // steps for a character: long sets of characters are searched linearly
  bool looks_afar = false;  // an item may look at the whole text and then fail, unseen by callouts
};

struct Regex::Matcher::State {
  const Compiled& compiled;
  StepBudget& budget;
  MatchData data;
  MatchContext context;
  size_t position = 0;  // of the last callout

  State(const Compiled& pattern, StepBudget& call_budget);
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // The next match in a valid text.
  std::optional<Span> match(std::string_view text, size_t start);
  static int count(pcre2_callout_block* block, void* self) noexcept;
  [[noreturn]] void refuse(size_t bytes, const std::string& reason) const;
  [[noreturn]] void refuse_backwards() const;
};

Regex::Regex(std::string pattern, std::string where, RegexOptions options) {
  auto made = std::make_shared<Compiled>();
  made->pattern = std::move(pattern);
  made->where = std::move(where);
  const CompileContext context(checked(pcre2_compile_context_create(nullptr)));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_max_pattern_length(context.get(), longest_pattern);
  uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
  if (options.multiline) flags |= PCRE2_MULTILINE;
  int error = 0;
  PCRE2_SIZE offset = 0;
  made->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(made->pattern.data()),
                                 made->pattern.size(), flags, &error, &offset, context.get()));
  if (!made->code)
    throw_input("regular expression " + shown(made->pattern) + " does not compile: " +
                    reason_of(error) + " at offset " + std::to_string(offset),
                made->where);
  pcre2_jit_compile(made->code.get(), PCRE2_JIT_COMPLETE);  // where it can't, the interpreter runs
  made->weight = 1 + made->pattern.size() / 512;
  uint32_t back_references = 0;
  pcre2_pattern_info(made->code.get(), PCRE2_INFO_BACKREFMAX, &back_references);
  made->looks_afar = back_references > 0 || made->pattern.find("\\X") != std::string::npos;
  compiled_ = std::move(made);
}

const std::string& Regex::pattern() const noexcept {
  return compiled_->pattern;
}

Regex::Matcher::State::State(const Compiled& pattern, StepBudget& call_budget)
    : compiled(pattern),
      budget(call_budget),
      data(checked(pcre2_match_data_create_from_pattern(pattern.code.get(), nullptr))),
      context(checked(pcre2_match_context_create(nullptr))) {
  pcre2_set_match_limit(context.get(), std::numeric_limits<uint32_t>::max());
  pcre2_set_heap_limit(context.get(), most_heap);
  pcre2_set_callout(context.get(), &State::count, this);
}

int Regex::Matcher::State::count(pcre2_callout_block* block, void* self) noexcept {
  auto& state = *static_cast<State*>(self);
  const size_t from = std::exchange(state.position, block->current_position);
  const size_t to = state.position;
  const uint64_t looked_at = state.compiled.looks_afar ? block->subject_length
                             : from < to               ? to - from
                                                       : from - to;
  return state.budget.spend((1 + looked_at) * state.compiled.weight) ? 0 : PCRE2_ERROR_CALLOUT;
}

void Regex::Matcher::State::refuse(size_t bytes, const std::string& reason) const {
  throw_input("regular expression " + shown(compiled.pattern) +
                  " takes too many steps on a text of " + std::to_string(bytes) +
                  " bytes: " + reason,
              compiled.where, {"nested repeats such as (a+)+ are the usual cause"});
}

void Regex::Matcher::State::refuse_backwards() const {
  throw_input("regular expression " + shown(compiled.pattern) +
                  " finds a match that overlaps the one before",
              compiled.where, {"\\K inside a lookbehind is the usual cause"});
}

std::optional<Span> Regex::Matcher::State::match(std::string_view text, size_t start) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() == nullptr ? "" : text.data());
  const auto run = [&](uint32_t flags) {
    position = start;
    return pcre2_match(compiled.code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK | flags,
                       data.get(), context.get());
  };
  int found = run(0);
  // The interpreter backtracks on the heap.
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = run(PCRE2_NO_JIT);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found == PCRE2_ERROR_CALLOUT) refuse(text.size(), "the call" + budget.excess());
  if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
      found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_RECURSELOOP)
    refuse(text.size(), reason_of(found));
  if (found == PCRE2_ERROR_NOMEMORY)
    throw_environment("out of memory while matching", compiled.where);
  if (found < 0) throw_bug("PCRE2 failed: " + reason_of(found), compiled.where);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
  // \K in a lookahead can put the begin behind the end.
  return Span{std::min(ends[0], ends[1]), ends[1]};
}

std::optional<Span> Regex::find(std::string_view text, size_t start) const {
  StepBudget budget(most_steps);
  Matcher::State matcher(*compiled_, budget);
  size_t run = 0;  // where the present run of valid UTF-8 begins
  while (true) {
    const size_t size = valid_prefix(text.substr(run));
    if (run + size >= start) {
      size_t from = start > run ? start - run : 0;
      while (from < size && (static_cast<unsigned char>(text[run + from]) & 0xC0) == 0x80) ++from;
      if (const auto m = matcher.match(text.substr(run, size), from))
        return Span{run + m->first, run + m->second};
    }
    run += size;
    if (run == text.size()) return std::nullopt;
    run += invalid_prefix(text.substr(run));
    if (run == text.size()) return std::nullopt;
  }
}

Regex::Matcher::Matcher(const Regex& regex, StepBudget& budget)
    : state_(std::make_unique<State>(*regex.compiled_, budget)) {}
Regex::Matcher::~Matcher() = default;

void Regex::Matcher::find_all(std::string_view text, std::vector<Span>& matches) {
  size_t run = 0;
  while (run < text.size()) {
    const std::string_view valid = text.substr(run, valid_prefix(text.substr(run)));
    size_t at = 0;
    std::optional<size_t> last_end;
    while (at <= valid.size()) {
      const auto m = state_->match(valid, at);
      if (!m) break;
      if (m->first < at) state_->refuse_backwards();
      const bool empty = m->first == m->second;
      if (!(empty && last_end == m->first)) matches.emplace_back(run + m->first, run + m->second);
      last_end = m->second;
      at = m->second;
      if (empty) at += at < valid.size() ? utf8_step(valid.substr(at)).size : 1;
    }
    run += valid.size();
    run += invalid_prefix(text.substr(run));
  }
}

std::string escape_regex(std::string_view text) {
  static constexpr std::string_view special = R"(\^$.[]|()?*+{}#-&~)";
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace ktx::text
