// A handshake's CPU side against a thread that plays the GPU, and both sides where there is a GPU.
#include "core/device/handshake.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "catch.hpp"
#include "core/device/graph.hpp"
#include "ktx/error.hpp"
#include "support/gpu.hpp"

using namespace ktx::device;
using ktx::test::Gpu;
using std::chrono::hours;
using std::chrono::milliseconds;

namespace {

// Takes a handshake's state for the CPU's memory, and fails when it is told to.
struct PlayedQueue : Queue {
  Place place() const noexcept override { return {}; }
  std::unique_ptr<Event> make_event() const override { return nullptr; }
  void record(Event&) noexcept override {}
  void wait(const Event&) noexcept override {}
  void copy_rows(const CopyRows&) noexcept override {}
  void copy(void* to, const void* from, size_t bytes) noexcept override {
    std::memcpy(to, from, bytes);
  }
  bool failed() const noexcept override { return fails; }
  void synchronize() override {}

  bool fails = false;
};

uint64_t read(uint64_t* flag) {
  return std::atomic_ref<uint64_t>(*flag).load(std::memory_order_acquire);
}
void raise(uint64_t* flag, uint32_t epoch, HandshakeStatus status = HandshakeStatus::ok) {
  std::atomic_ref<uint64_t>(*flag).store(make_flag(epoch, status), std::memory_order_release);
}

template <class T>
Block pinned(const std::vector<T>& numbers) {
  Block block = alloc({DeviceKind::cpu}, numbers.size() * sizeof(T), Pinned::yes);
  std::memcpy(block.data(), numbers.data(), block.size());
  return block;
}
Block pinned_poison(size_t bytes) {
  return pinned(std::vector<uint8_t>(bytes, uint8_t{0xff}));
}
template <class T>
std::vector<T> numbers_of(const Block& block) {
  return {block.as<T>(), block.as<T>() + block.size() / sizeof(T)};
}

// Rows of two matrices, each with `before` numbers in front.
struct Shape {
  int32_t rows, width;
  int64_t from_stride, to_stride, before;

  size_t from_size() const { return static_cast<size_t>(before + rows * from_stride); }
  size_t to_size() const { return static_cast<size_t>(before + rows * to_stride); }
};
const std::vector<Shape> shapes{{1, 7168, 7168, 7168, 0},  {8, 7168, 7168, 7168, 0},
                                {64, 7168, 7200, 7176, 8}, {3, 37, 40, 44, 0},
                                {5, 1, 1, 3, 1},           {7, 130, 133, 131, 3},
                                {4, 8, 8, 8, 0},           {2, 6, 8, 7, 2}};

template <class T>
std::vector<T> random_bits(size_t n) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::vector<T> bits(n);
  for (T& x : bits) x = static_cast<T>(random());
  return bits;
}
std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> between(-1, 1);
  std::vector<float> numbers(n);
  for (float& x : numbers) x = between(random);
  return numbers;
}

// The first `rows` rows of one piece that takes whole rows of `width` words.
Piece rows_of(const void* from, void* to, int32_t rows, int32_t width) {
  return {.from = from,
          .to = to,
          .rows = rows,
          .width = width,
          .from_stride = width,
          .to_stride = width};
}

}  // namespace

TEST_CASE("flags keep epoch and status apart; epochs may wrap around") {
  const uint64_t flag = make_flag(0xfffffffeu, HandshakeStatus::timed_out);
  CHECK(epoch_of(flag) == 0xfffffffeu);
  CHECK(status_of(flag) == HandshakeStatus::timed_out);
  CHECK(has_reached(flag, 0xfffffffeu));
  CHECK_FALSE(has_reached(flag, 0xffffffffu));
  CHECK_FALSE(has_reached(flag, 3));
  CHECK(has_reached(make_flag(3, HandshakeStatus::ok), 0xfffffffeu));
}

TEST_CASE("the CPU answers every post once, and sees what was written before it") {
  PlayedQueue queue;
  Handshake handshake(queue);
  uint32_t question = 0, answer = 0, wrong = 0;
  constexpr uint32_t epochs = 1000;
  std::thread gpu([&] {
    for (uint32_t epoch = 1; epoch <= epochs; ++epoch) {
      question = 3 * epoch;
      raise(handshake.flags().posted, epoch);
      while (!has_reached(read(handshake.flags().answered), epoch)) std::this_thread::yield();
      if (answer != 6 * epoch) ++wrong;
    }
  });
  for (uint32_t epoch = 1; epoch <= epochs; ++epoch) {
    if (!handshake.wait_posted()) break;
    answer = 2 * question;
    handshake.answer();
  }
  gpu.join();
  CHECK(wrong == 0);
  CHECK(handshake.status() == HandshakeStatus::ok);
}

TEST_CASE("the CPU waits no longer for a GPU that fails, gives up or is late") {
  PlayedQueue queue;
  Handshake handshake(queue, {.post = milliseconds(5)});
  HandshakeStatus expected{};
  SECTION("its queue has failed") {
    queue.fails = true;
    Handshake patient(queue, {.post = hours(1)});
    REQUIRE_FALSE(patient.wait_posted());
    REQUIRE(patient.status() == HandshakeStatus::failed);
    return;
  }
  SECTION("it has given up") {
    raise(handshake.flags().posted, 1, expected = HandshakeStatus::timed_out);
  }
  SECTION("it posts nothing") {
    expected = HandshakeStatus::timed_out;
    REQUIRE_FALSE(handshake.wait_posted());
    REQUIRE(status_of(read(handshake.flags().answered)) == expected);  // so the GPU knows
  }
  SECTION("the CPU has given up itself") {
    expected = HandshakeStatus::aborted;
    raise(handshake.flags().posted, 1);
    REQUIRE(handshake.wait_posted());
    handshake.abort();
    handshake.answer();  // comes too late
    raise(handshake.flags().posted, 2);
  }
  REQUIRE_FALSE(handshake.wait_posted());
  REQUIRE(handshake.status() == expected);
  handshake.reset();
  REQUIRE(handshake.status() == HandshakeStatus::ok);
  raise(handshake.flags().posted, 1);
  REQUIRE(handshake.wait_posted());
}

TEST_CASE("a post copies words as they are and bf16 as f32, and nothing beside its rows") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  Handshake handshake(gpu.queue());
  for (const Shape& s : shapes) {
    CAPTURE(s.rows, s.width, s.from_stride, s.to_stride, s.before);
    const auto words = random_bits<uint32_t>(s.from_size());
    const auto halves = random_bits<uint16_t>(s.from_size());
    const Block words_there = gpu.upload(words), halves_there = gpu.upload(halves);
    const Block words_here = pinned_poison(4 * s.to_size());
    const Block halves_here = pinned_poison(4 * s.to_size());
    Piece of_words{.from = words_there.as<uint32_t>() + s.before,
                   .to = words_here.as<uint32_t>() + s.before,
                   .rows = s.rows,
                   .width = s.width,
                   .from_stride = s.from_stride,
                   .to_stride = s.to_stride};
    Piece of_halves = of_words;
    of_halves.from = halves_there.as<uint16_t>() + s.before;
    of_halves.to = halves_here.as<uint32_t>() + s.before;
    of_halves.numbers = Piece::Numbers::bf16;
    handshake.post({of_words, {}, of_halves});
    REQUIRE(handshake.wait_posted());  // what it copied is there; the queue is not waited for

    std::vector<uint32_t> expected(s.to_size(), 0xffffffffu), expected_halves = expected;
    for (int64_t row = 0; row < s.rows; ++row)
      for (int64_t i = 0; i < s.width; ++i) {
        const auto to = static_cast<size_t>(s.before + row * s.to_stride + i);
        const auto from = static_cast<size_t>(s.before + row * s.from_stride + i);
        expected[to] = words[from];
        expected_halves[to] = uint32_t{halves[from]} << 16;
      }
    REQUIRE(numbers_of<uint32_t>(words_here) == expected);
    REQUIRE(numbers_of<uint32_t>(halves_here) == expected_halves);
    handshake.answer();
    gpu.queue().synchronize();
  }
}

TEST_CASE("a wait copies what the answer brings, and adds what is there") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  Handshake handshake(gpu.queue());
  for (const Shape& s : shapes) {
    CAPTURE(s.rows, s.width, s.from_stride, s.to_stride, s.before);
    const Block from = pinned_poison(4 * s.from_size());
    const auto added = random_floats(s.to_size(), 1);
    const Block copy = gpu.poisoned(4 * s.to_size()), sum = gpu.poisoned(4 * s.to_size());
    const Block add = gpu.upload(added), in_place = gpu.upload(added);
    Piece to_copy{.from = from.as<float>() + s.before,
                  .to = copy.as<float>() + s.before,
                  .rows = s.rows,
                  .width = s.width,
                  .from_stride = s.from_stride,
                  .to_stride = s.to_stride};
    Piece to_sum = to_copy, to_in_place = to_copy;
    to_sum.to = sum.as<float>() + s.before;
    to_sum.add = add.as<float>() + s.before;
    to_in_place.to = in_place.as<float>() + s.before;
    to_in_place.add = in_place.as<float>() + s.before;
    to_sum.add_stride = to_in_place.add_stride = s.to_stride;
    handshake.post({});
    handshake.wait({to_copy, to_sum, to_in_place});
    REQUIRE(handshake.wait_posted());
    const auto sent = random_floats(s.from_size(), 2);
    std::memcpy(from.data(), sent.data(), from.size());
    handshake.answer();

    std::vector<uint32_t> expected(s.to_size(), 0xffffffffu), expected_sum = expected;
    std::vector<float> expected_in_place = added;
    for (int64_t row = 0; row < s.rows; ++row)
      for (int64_t i = 0; i < s.width; ++i) {
        const auto at = static_cast<size_t>(s.before + row * s.to_stride + i);
        const float x = sent[static_cast<size_t>(s.before + row * s.from_stride + i)];
        expected_in_place[at] = x + added[at];
        std::memcpy(&expected[at], &x, 4);
        std::memcpy(&expected_sum[at], &expected_in_place[at], 4);
      }
    REQUIRE(gpu.download<uint32_t>(copy) == expected);
    REQUIRE(gpu.download<uint32_t>(sum) == expected_sum);
    REQUIRE(gpu.download<float>(in_place) == expected_in_place);
  }
  REQUIRE(handshake.status() == HandshakeStatus::ok);
}

TEST_CASE("a graph meets the CPU 100000 times, and every number is that of its time") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  // Two rows take several blocks on both ways. What is there becomes (target - what was there) +
  // what was there: one number late on either way, and it is none of a whole target again.
  constexpr int32_t rows = 2, width = 7168, n = rows * width;
  constexpr int rounds = 10, launches = 10000;
  const auto target = [](int epoch, int i) {
    return static_cast<float>((epoch * 31 + i) & 0xffff);
  };
  Gpu gpu;
  Handshake handshake(gpu.queue(), {.answer = std::chrono::seconds(20)});
  const Block y = gpu.upload(std::vector<float>(n, 0)), x = gpu.poisoned(4 * n);
  const Block posted = pinned_poison(4 * n), answer = pinned_poison(4 * n);
  Piece back = rows_of(answer.data(), y.data(), rows, width);
  back.add = x.as<float>();
  back.add_stride = width;
  const auto graph = capture(gpu.queue(), [&] {
    for (int round = 0; round < rounds; ++round) {
      gpu.queue().copy(x.data(), y.data(), x.size());
      handshake.post({rows_of(x.data(), posted.data(), rows, width)});
      handshake.wait({back});
    }
  });
  for (int epoch = 1; epoch <= rounds * launches; ++epoch) {
    if (epoch % rounds == 1) graph->launch();
    if (!handshake.wait_posted()) break;
    int wrong = 0;
    for (int i = 0; i < n; ++i) {
      const float was = posted.as<float>()[i];
      wrong += was != (epoch == 1 ? 0.0f : target(epoch - 1, i));
      answer.as<float>()[i] = target(epoch, i) - was;
    }
    handshake.answer();
    CAPTURE(epoch);
    if (wrong != 0) handshake.abort();
    REQUIRE(wrong == 0);
  }
  const auto last = gpu.download<float>(y);
  REQUIRE(handshake.status() == HandshakeStatus::ok);
  for (int i = 0; i < n; ++i) REQUIRE(last[i] == target(rounds * launches, i));
}

TEST_CASE("a GPU whose CPU does not answer falls through to the end of its work") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  const bool aborts = GENERATE(false, true);
  // Were an abort not seen, the test would not end.
  Handshake handshake(gpu.queue(), {.answer = aborts ? hours(24) : milliseconds(20)});
  const std::vector<float> numbers(7168, 2);
  const Block from = gpu.upload(numbers), to = gpu.poisoned(4 * 7168);
  const Block posted = pinned_poison(4 * 7168), answer = pinned(numbers);
  const auto graph = capture(gpu.queue(), [&] {
    for (int round = 0; round < 3; ++round) {
      handshake.post({rows_of(from.data(), posted.data(), 1, 7168)});
      handshake.wait({rows_of(answer.data(), to.data(), 1, 7168)});
    }
  });
  graph->launch();
  REQUIRE(handshake.wait_posted());
  if (aborts) handshake.abort();
  gpu.queue().synchronize();
  REQUIRE(handshake.status() == (aborts ? HandshakeStatus::aborted : HandshakeStatus::timed_out));
  REQUIRE_FALSE(handshake.wait_posted());
  REQUIRE(gpu.download<int>(to) == std::vector<int>(7168, -1));

  handshake.reset();
  graph->launch();
  for (int round = 0; round < 3; ++round) {
    REQUIRE(handshake.wait_posted());
    handshake.answer();
  }
  REQUIRE(gpu.download<float>(to) == numbers);
  REQUIRE(handshake.status() == HandshakeStatus::ok);
}

namespace {
const char* const fault = "handshake: a GPU that faults";
}

// Hidden: CUDA is of no use afterwards in this process.
TEST_CASE(fault, "[.fault]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  Gpu gpu;
  Handshake handshake(gpu.queue(), {.post = hours(24)});
  const Block to = pinned_poison(16);
  handshake.post({rows_of(reinterpret_cast<const void*>(16), to.data(), 1, 4)});
  REQUIRE_FALSE(handshake.wait_posted());
  REQUIRE(handshake.status() == HandshakeStatus::failed);
  REQUIRE(gpu.queue().failed());
  CHECK_THROWS_AS(gpu.queue().synchronize(), ktx::Error);
}

TEST_CASE("the CPU notices a GPU that has faulted before its post") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  REQUIRE(std::system(("'" + self + "' '" + fault + "'").c_str()) == 0);
}

TEST_CASE("handshake: speed of a round trip", "[.bench]") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  using Clock = std::chrono::steady_clock;
  constexpr int layers = 58, launches = 101;
  for (const int32_t rows : {0, 1, 2, 4, 8}) {
    Gpu gpu;
    Handshake handshake(gpu.queue());
    const size_t hidden = 4 * 8 * 7168, routing = 4 * 8 * 8;
    const Block x = gpu.poisoned(hidden), ids = gpu.poisoned(routing),
                weights = gpu.poisoned(routing);
    const Block y = gpu.poisoned(hidden);
    const Block x_here = pinned_poison(hidden), ids_here = pinned_poison(routing);
    const Block weights_here = pinned_poison(routing), sum = pinned_poison(hidden);
    const auto graph = capture(gpu.queue(), [&] {
      for (int layer = 0; layer < layers; ++layer) {
        handshake.post({rows_of(x.data(), x_here.data(), rows, 7168),
                        rows_of(ids.data(), ids_here.data(), rows, 8),
                        rows_of(weights.data(), weights_here.data(), rows, 8)});
        handshake.wait({rows_of(sum.data(), y.data(), rows, 7168)});
      }
    });
    std::vector<double> times;
    for (int launch = 0; launch < launches; ++launch) {
      const auto begin = Clock::now();
      graph->launch();
      for (int layer = 0; layer < layers; ++layer) {
        REQUIRE(handshake.wait_posted());
        handshake.answer();
      }
      gpu.queue().synchronize();
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    std::nth_element(times.begin(), times.begin() + launches / 2, times.end());
    std::printf("%d rows of 7168 numbers and 8 experts out, 7168 back: %.2f us (launch included)\n",
                rows, times[launches / 2] / layers);
  }
}
