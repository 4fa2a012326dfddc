// Profiles for people: tables and traces.
#include "engine/profile_report.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "core/base/json.hpp"

namespace ktx {

namespace {

using engine::LaneTimes;
using engine::ProfileColumn;

bool is_work(const Span& span) noexcept {
  return span.kind == SpanKind::compute || span.kind == SpanKind::copy;
}

/// When something works: intervals in order that do not overlap.
class WorkingTime {
 public:
  void add(double begin, double end) { intervals_.emplace_back(begin, end); }
  void merge() {
    std::ranges::sort(intervals_);
    size_t count = 0;
    for (const auto& [begin, end] : intervals_)
      if (count > 0 && begin <= intervals_[count - 1].second)
        intervals_[count - 1].second = std::max(intervals_[count - 1].second, end);
      else
        intervals_[count++] = {begin, end};
    intervals_.resize(count);
  }
  /// Of [begin, end).
  double within(double begin, double end) const {
    double sum = 0;
    for (const auto& [from, to] : intervals_)
      sum += std::max(0.0, std::min(to, end) - std::max(from, begin));
    return sum;
  }

 private:
  std::vector<std::pair<double, double>> intervals_;
};

/// lane: -1: of all together.
WorkingTime working_time(const StepProfile& profile, int lane) {
  WorkingTime time;
  for (const Span& span : profile.spans)
    if (is_work(span) && (lane < 0 || span.lane == lane)) time.add(span.begin, span.end);
  time.merge();
  return time;
}

/// When the parts of a step end: what stands before the layers, each layer, what stands behind.
std::vector<double> part_ends(const StepProfile& profile) {
  std::vector<double> ends(profile.layers.size() + 2, 0);
  for (const Span& span : profile.spans)
    if (span.kind == SpanKind::compute) {
      double& end = ends[static_cast<size_t>(span.layer + 1)];
      end = std::max(end, span.end);
    }
  for (size_t i = 1; i < ends.size(); ++i) ends[i] = std::max(ends[i], ends[i - 1]);
  ends.back() = std::max(ends.back(), profile.seconds);
  return ends;
}

/// The lanes that compute in each part.
std::vector<std::set<int>> computing_lanes(const StepProfile& profile) {
  std::vector<std::set<int>> lanes(profile.layers.size() + 2);
  for (const Span& span : profile.spans)
    if (span.kind == SpanKind::compute)
      lanes[static_cast<size_t>(span.layer + 1)].insert(span.lane);
  return lanes;
}

void add_to(LaneTimes::Names& names, const std::string& name, double seconds) {
  const auto found = std::ranges::find(names, name, [](const auto& n) { return n.first; });
  if (found == names.end())
    names.emplace_back(name, seconds);
  else
    found->second += seconds;
}

/// Which column each part belongs to; makes the columns.
std::vector<size_t> fold(const StepProfile& profile, std::vector<ProfileColumn>& columns) {
  const auto lanes = computing_lanes(profile);
  std::map<std::pair<std::string, std::set<int>>, size_t> known;
  std::map<std::string, int> kinds;  // columns of a kind
  std::vector<size_t> column_of;
  for (size_t part = 0; part < lanes.size(); ++part) {
    const bool first = part == 0, last = part + 1 == lanes.size();
    const std::string kind = first ? "start" : last ? "logits" : profile.layers[part - 1];
    const auto [found, is_new] = known.try_emplace({kind, lanes[part]}, columns.size());
    if (is_new) {
      columns.push_back({.name = kind, .lanes = std::vector<LaneTimes>(profile.lanes.size())});
      ++kinds[kind];
    }
    ++columns[found->second].layers;
    column_of.push_back(found->second);
  }
  for (const auto& [key, column] : known) {
    if (kinds[key.first] == 1) continue;
    std::string on;
    for (const int lane : key.second)
      on += (on.empty() ? "" : ", ") + profile.lanes[static_cast<size_t>(lane)];
    columns[column].name += " (" + on + ")";
  }
  return column_of;
}

}  // namespace

std::vector<ProfileColumn> engine::profile_columns(const StepProfile& profile) {
  std::vector<ProfileColumn> columns;
  const auto column_of = fold(profile, columns);
  const auto ends = part_ends(profile);
  const auto anything = working_time(profile, -1);
  std::vector<WorkingTime> working;
  for (size_t lane = 0; lane < profile.lanes.size(); ++lane)
    working.push_back(working_time(profile, static_cast<int>(lane)));
  for (size_t part = 0; part < ends.size(); ++part) {
    auto& column = columns[column_of[part]];
    const double begin = part == 0 ? 0 : ends[part - 1], end = ends[part];
    column.seconds += end - begin;
    column.idle += end - begin - anything.within(begin, end);
    for (size_t lane = 0; lane < working.size(); ++lane)
      column.lanes[lane].busy += working[lane].within(begin, end);
  }
  for (const Span& span : profile.spans) {
    auto& lane = columns[column_of[static_cast<size_t>(span.layer + 1)]]
                     .lanes[static_cast<size_t>(span.lane)];
    if (span.kind != SpanKind::submit) ++lane.commands;
    if (span.kind == SpanKind::wait) continue;
    auto& names = span.kind == SpanKind::compute ? lane.compute
                  : span.kind == SpanKind::copy  ? lane.copy
                                                 : lane.submit;
    add_to(names, span.name, span.end - span.begin);
  }
  return columns;
}

double idle_seconds(const StepProfile& profile) {
  return profile.seconds - working_time(profile, -1).within(0, profile.seconds);
}

namespace {

std::string format(const char* how, double number) {
  char text[64];
  std::snprintf(text, sizeof text, how, number);
  return text;
}

double sum(const LaneTimes::Names& names) {
  double seconds = 0;
  for (const auto& [name, part] : names) seconds += part;
  return seconds;
}

double of_name(const LaneTimes::Names& names, const std::string& name) {
  const auto found = std::ranges::find(names, name, [](const auto& n) { return n.first; });
  return found == names.end() ? 0 : found->second;
}

/// A table's rows: a number of each column, and of the whole step.
class TableText {
 public:
  explicit TableText(const std::vector<ProfileColumn>& columns, double step)
      : columns_(columns), step_(step) {
    out_ = "| µs a layer |";
    std::string line = "|---|";
    for (const auto& column : columns) {
      out_ += " " + column.name;
      if (column.layers > 1) out_ += " × " + std::to_string(column.layers);
      out_ += " |";
      line += "---|";
    }
    out_ += " step | of it |\n" + line + "---|---|\n";
  }

  /// seconds(column): of all its layers. Rows of nothing are left out.
  template <class F>
  void times(const std::string& name, const F& seconds) {
    double whole = 0;
    for (const auto& column : columns_) whole += seconds(column);
    if (whole <= 0) return;
    out_ += "| " + name + " |";
    for (const auto& column : columns_)
      out_ += format(" %.1f |", 1e6 * seconds(column) / column.layers);
    out_ += format(" %.0f |", 1e6 * whole) + format(" %.1f %% |\n", 100 * whole / step_);
  }
  template <class F>
  void counts(const std::string& name, const F& count) {
    int whole = 0;
    out_ += "| " + name + " |";
    for (const auto& column : columns_) {
      whole += count(column);
      out_ += format(" %.1f |", static_cast<double>(count(column)) / column.layers);
    }
    out_ += " " + std::to_string(whole) + " | |\n";
  }
  std::string text() const { return out_; }

 private:
  const std::vector<ProfileColumn>& columns_;
  double step_;
  std::string out_;
};

/// The names of one kind in a lane, in all columns.
std::vector<std::string> names_of(const std::vector<ProfileColumn>& columns, size_t lane,
                                  LaneTimes::Names LaneTimes::*kind) {
  LaneTimes::Names names;
  for (const auto& column : columns)
    for (const auto& [name, seconds] : column.lanes[lane].*kind) add_to(names, name, seconds);
  std::vector<std::string> out;
  for (auto& name : names) out.push_back(std::move(name.first));
  return out;
}

void add_lane(TableText& table, const StepProfile& profile,
              const std::vector<ProfileColumn>& columns, size_t lane) {
  const auto& name = profile.lanes[lane];
  const auto times = [&](const char* title, LaneTimes::Names LaneTimes::*kind) {
    table.times("**" + name + title,
                [&](const ProfileColumn& c) { return sum(c.lanes[lane].*kind); });
    for (const auto& command : names_of(columns, lane, kind))
      table.times(command,
                  [&](const ProfileColumn& c) { return of_name(c.lanes[lane].*kind, command); });
  };
  times(" computes**", &LaneTimes::compute);
  times(" copies**", &LaneTimes::copy);
  times(" submits**", &LaneTimes::submit);
  table.times("**" + name + " waits**",
              [&](const ProfileColumn& c) { return c.seconds - c.lanes[lane].busy; });
  table.counts(name + ": commands", [&](const ProfileColumn& c) { return c.lanes[lane].commands; });
}

const char* name_of(SpanKind kind) noexcept {
  switch (kind) {
    case SpanKind::compute:
      return "compute";
    case SpanKind::copy:
      return "copy";
    case SpanKind::wait:
      return "wait";
    case SpanKind::submit:
      return "submit";
  }
  return "";
}

void add_to_trace(Json& trace, const StepProfile& profile, int process) {
  const auto name_it = [&](const char* what, int thread, const std::string& name) {
    trace.push_back({{"name", what},
                     {"ph", "M"},
                     {"pid", process},
                     {"tid", thread},
                     {"args", {{"name", name}}}});
  };
  name_it("process_name", 0, profile.name);
  for (size_t lane = 0; lane < profile.lanes.size(); ++lane)
    name_it("thread_name", static_cast<int>(lane), profile.lanes[lane]);
  for (const Span& span : profile.spans)
    trace.push_back({{"name", span.name},
                     {"cat", name_of(span.kind)},
                     {"ph", "X"},
                     {"ts", 1e6 * span.begin},
                     {"dur", 1e6 * (span.end - span.begin)},
                     {"pid", process},
                     {"tid", span.lane},
                     {"args", {{"layer", span.layer}}}});
}

}  // namespace

std::string profile_table(const StepProfile& profile) {
  const auto columns = engine::profile_columns(profile);
  const bool has_gpus = profile.lanes.size() > 1;
  std::string out = profile.name + ": " + std::to_string(profile.rows) +
                    (profile.rows == 1 ? " token" : " tokens") + " after " +
                    std::to_string(profile.past) + ", " + format("%.3f ms", 1e3 * profile.seconds) +
                    format(" (%.3f ms without marks", 1e3 * profile.unmarked_seconds);
  if (has_gpus) out += format("; a GPU's clock is known to %.1f µs", 1e6 * profile.clock_error);
  out += format(")\nneither works: %.1f %%\n\n", 100 * idle_seconds(profile) / profile.seconds);
  TableText table(columns, profile.seconds);
  table.times("time", [](const ProfileColumn& c) { return c.seconds; });
  table.times("neither works", [](const ProfileColumn& c) { return c.idle; });
  for (size_t lane = 0; lane < profile.lanes.size(); ++lane)
    add_lane(table, profile, columns, lane);
  return out + table.text();
}

std::string chrome_trace(const ProfileReport& report) {
  Json trace = Json::array();
  add_to_trace(trace, report.prefill, 0);
  add_to_trace(trace, report.decode, 1);
  return base::dump_json(trace) + "\n";
}

}  // namespace ktx
