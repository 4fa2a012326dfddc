// Choosing a token's experts from its scores.
#include "ops/router/select.hpp"

#include <algorithm>

namespace ktx::ops {
namespace {

/// The best `size` of the candidates offered, best first; of equals the one offered first. A NaN is
/// taken only while there is room, so that there are always `size` valid ids.
class Best {
 public:
  explicit Best(int size) noexcept : size_(size) {}

  void offer(int id, float score) noexcept {
    if (count_ == size_ && !(score > scores_[count_ - 1])) return;
    int place = count_ < size_ ? count_++ : count_ - 1;
    for (; place > 0 && score > scores_[place - 1]; --place) {
      scores_[place] = scores_[place - 1];
      ids_[place] = ids_[place - 1];
    }
    scores_[place] = score;
    ids_[place] = id;
  }

  int count() const noexcept { return count_; }
  int id(int i) const noexcept { return ids_[i]; }

 private:
  int size_, count_ = 0;
  int ids_[graph::max_selected];
  float scores_[graph::max_selected];
};

float group_score(const float* scores, int count, bool top2) noexcept {
  float best = scores[0], second = 0;
  for (int i = 1; i < count; ++i) {
    if (scores[i] > best) {
      second = best;
      best = scores[i];
    } else if (i == 1 || scores[i] > second) {
      second = scores[i];
    }
  }
  return top2 && count > 1 ? best + second : best;
}

}  // namespace

void select_experts(const SelectArgs& args) noexcept {
  const graph::RouterParams& p = *args.params;
  const int group_size = p.experts / p.groups;
  bool allowed[graph::max_selected] = {};
  if (p.top_groups < p.groups) {
    Best groups(p.top_groups);
    for (int g = 0; g < p.groups; ++g) {
      groups.offer(g, group_score(args.biased + g * group_size, group_size, p.group_by_top2));
    }
    for (int i = 0; i < groups.count(); ++i) allowed[groups.id(i)] = true;
  }
  Best best(args.count);
  for (int g = 0; g < p.groups; ++g) {
    if (p.top_groups < p.groups && !allowed[g]) continue;
    const int end = (g + 1) * group_size;
    for (int e = g * group_size; e < end; ++e) best.offer(e, args.biased[e]);
  }
  float sum = 0;
  for (int i = 0; i < best.count(); ++i) {
    args.ids[i] = best.id(i);
    args.weights[i] = args.scores[best.id(i)];
    sum += args.weights[i];
  }
  const float factor = p.normalize ? p.scale / (sum + 1e-20f) : p.scale;
  for (int i = 0; i < best.count(); ++i) args.weights[i] *= factor;
  std::fill(args.ids + best.count(), args.ids + p.top_k, -1);
  std::fill(args.weights + best.count(), args.weights + p.top_k, 0.0f);
}

}  // namespace ktx::ops
