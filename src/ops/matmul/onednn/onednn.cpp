// oneDNN's matmul primitives, one for each shape that a panel's product takes.
#include "ops/matmul/onednn/onednn.hpp"

#include <algorithm>

#include "core/hw/isa.hpp"
#include "ops/matmul/onednn/onednn_panels.hpp"

#if KTX_HAVE_ONEDNN
#include <omp.h>

#include <array>
#include <exception>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>
#endif

namespace ktx::ops {
namespace {

template <class X, class W, class Y>
void multiply(const PanelProduct& p, int64_t pack) noexcept {
  const auto* x = reinterpret_cast<const X*>(p.x);
  const auto* w = reinterpret_cast<const W*>(p.panel);
  auto* y = static_cast<Y*>(p.products);
  std::fill_n(y, p.tokens * panel_rows, Y{});
  for (int64_t t = 0; t < p.tokens; ++t)
    for (int64_t c = 0; c < p.cols; ++c)
      for (int64_t r = 0; r < panel_rows; ++r)
        y[t * panel_rows + r] += static_cast<Y>(x[t * p.cols + c]) *
                                 static_cast<Y>(w[(c / pack * panel_rows + r) * pack + c % pack]);
}

}  // namespace

void multiply_plainly(const PanelProduct& p) noexcept {
  p.type == PanelType::f32 ? multiply<float, float, float>(p, 1)
                           : multiply<uint8_t, int8_t, int32_t>(p, 4);
}

#if KTX_HAVE_ONEDNN

namespace {

using dnnl::memory;

/// Only the calling thread takes part in what is made while this lives: primitives keep the number
/// of threads that OpenMP has when they are made.
class OneThread {
 public:
  OneThread() noexcept : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

struct Product {
  memory::desc x, w, y, scratchpad;
  dnnl::matmul matmul;
};

dnnl::engine* make_engine() {
  // KTX_ISA holds for oneDNN too.
  if (hw::usable_isa() < hw::Isa::amx_bf16) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
  return new dnnl::engine(dnnl::engine::kind::cpu, 0);
}

/// Leaked on purpose: worker threads may outlive static objects.
const dnnl::engine& cpu() {
  static const auto* engine = make_engine();
  return *engine;
}

dnnl::matmul::primitive_desc describe(const Product& p, const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {cpu(), p.x, p.w, p.y, attr};
#else
  return {{p.x, p.w, p.y}, attr, cpu()};
#endif
}

std::unique_ptr<const Product> make_product(PanelType type, int64_t tokens, int64_t cols) {
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const bool f32 = type == PanelType::f32;
  auto p = std::make_unique<Product>();
  p->x = {{tokens, cols}, f32 ? Type::f32 : Type::u8, Tag::ab};
  p->w = {{cols, panel_rows}, f32 ? Type::f32 : Type::s8, f32 ? Tag::BA16a64b : Tag::BA16a64b4a};
  p->y = {{tokens, panel_rows}, f32 ? Type::f32 : Type::s32, Tag::ab};
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const OneThread alone;
  const auto description = describe(*p, attr);
  p->scratchpad = description.scratchpad_desc();
  p->matmul = dnnl::matmul(description);
  return p;
}

constexpr int64_t token_steps = panel_tokens / tile_tokens, column_steps = panel_chunk / panel_step;

/// A value for each shape.
template <class T>
struct Shapes {
  std::array<std::array<std::array<T, token_steps>, column_steps>, 2> at;

  T& of(PanelType type, int64_t tokens, int64_t cols) noexcept {
    return at[static_cast<size_t>(type)][static_cast<size_t>(cols / panel_step - 1)]
             [static_cast<size_t>(tokens / tile_tokens - 1)];
  }
};

/// Filled while planning, before any kernel of the shape runs; then only read. Leaked like cpu().
Shapes<std::unique_ptr<const Product>>& products() {
  static auto* all = new Shapes<std::unique_ptr<const Product>>{};
  return *all;
}

/// What a thread needs to run one product: oneDNN keeps addresses in objects of its own.
struct Operands {
  explicit Operands(const Product& p)
      : x(p.x, cpu(), nullptr),
        w(p.w, cpu(), nullptr),
        y(p.y, cpu(), nullptr),
        scratchpad(p.scratchpad, cpu()),
        stream(cpu()) {}
  memory x, w, y, scratchpad;
  dnnl::stream stream;
};

/// The thread's own; throws when there is no memory.
Operands& operands(const PanelProduct& p, const Product& product) {
  thread_local Shapes<std::unique_ptr<Operands>> all{};
  auto& found = all.of(p.type, p.tokens, p.cols);
  if (found == nullptr) found = std::make_unique<Operands>(product);
  return *found;
}

bool execute(const PanelProduct& p) noexcept {
  const auto& product = products().of(p.type, p.tokens, p.cols);
  if (product == nullptr) return false;
  try {
    Operands& o = operands(p, *product);
    o.x.set_data_handle(const_cast<uint8_t*>(p.x));
    o.w.set_data_handle(const_cast<uint8_t*>(p.panel));
    o.y.set_data_handle(p.products);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, o.x.get()},
                                    {DNNL_ARG_WEIGHTS, o.w.get()},
                                    {DNNL_ARG_DST, o.y.get()},
                                    {DNNL_ARG_SCRATCHPAD, o.scratchpad.get()}};
    return dnnl_primitive_execute(product->matmul.get(), o.stream.get(), std::size(args), args) ==
           dnnl_success;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

std::string onednn_refusal(PanelType type, int64_t cols) {
  if constexpr (DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_TBB)
    return "oneDNN is built for TBB, not for OpenMP or one thread";
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  try {
    // A matrix is whole chunks and a rest.
    for (const int64_t width : {std::min(cols, panel_chunk), cols % panel_chunk})
      for (int64_t tokens = tile_tokens; width > 0 && tokens <= panel_tokens;
           tokens += tile_tokens) {
        auto& product = products().of(type, tokens, panel_columns(width));
        if (product == nullptr) product = make_product(type, tokens, panel_columns(width));
      }
  } catch (const std::exception& error) {
    return std::string("oneDNN says: ") + error.what();
  }
  return {};
}

void onednn_multiply(const PanelProduct& product) noexcept {
  if (!execute(product)) multiply_plainly(product);
}

#else

std::string onednn_refusal(PanelType, int64_t) {
  return "built without oneDNN";
}

void onednn_multiply(const PanelProduct& product) noexcept {
  multiply_plainly(product);
}

#endif

}  // namespace ktx::ops
