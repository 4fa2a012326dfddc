// Types of values on small graphs of a CPU (place 0) and a GPU (place 1).
#include "engine/run/value_types.hpp"

#include <string>

#include "catch.hpp"

using namespace ktx;
using graph::NumberType;
using graph::Op;

namespace {

constexpr int cpu = 0, gpu = 1;

/// Nodes one by one, with their places; value 0 on.
class Sketch {
 public:
  int add(Op op, std::vector<int> inputs, int place = gpu, bool routing = false) {
    graph.values.push_back({.name = "v", .width = 8, .routing = routing, .place = place});
    const auto output = static_cast<int>(graph.values.size()) - 1;
    graph.nodes.push_back({.op = op,
                           .inputs = std::move(inputs),
                           .output = output,
                           .layer = 2,
                           .place = place,
                           .on_gpu = place == gpu});
    return output;
  }
  int slice(int base) {
    graph.values.push_back({.name = "slice",
                            .width = 2,
                            .base = base,
                            .offset = 3,
                            .place = graph.values[static_cast<size_t>(base)].place});
    return static_cast<int>(graph.values.size()) - 1;
  }

  void give_types() { engine::give_types(graph); }
  const graph::Value& value(int v) const { return graph.values[static_cast<size_t>(v)]; }
  bool is_bf16(int v) const { return value(v).type == NumberType::bf16; }
  /// "linear 1 -> 2", a node a line; a value in bf16 with a 'b'.
  std::string text() const {
    std::string out;
    const auto name = [&](int v) { return std::to_string(v) + (is_bf16(v) ? "b" : ""); };
    for (const auto& node : graph.nodes) {
      out += graph::info(node.op).name;
      for (const int input : node.inputs) out += " " + name(input);
      out += " -> " + name(node.output) + "\n";
    }
    return out;
  }

  graph::Graph graph;
};

}  // namespace

TEST_CASE("on the CPU all is f32, and nothing is converted") {
  Sketch s;
  const int x = s.add(Op::embedding, {}, cpu);
  const int n = s.add(Op::rms_norm, {x}, cpu);
  const int y = s.add(Op::linear, {n}, cpu);
  s.add(Op::silu_mul, {y, y}, cpu);
  s.give_types();
  CHECK(s.text() == "embedding -> 0\nrms_norm 0 -> 1\nlinear 1 -> 2\nsilu_mul 2 2 -> 3\n");
}

TEST_CASE("a norm that only products read is written in bf16 at once") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int n = s.add(Op::rms_norm, {x});
  s.add(Op::linear, {n});
  s.give_types();
  CHECK(s.text() == "embedding -> 0\nrms_norm 0 -> 1b\nlinear 1b -> 2\n");
}

TEST_CASE("a norm that is read in both types is converted once, right behind it") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int n = s.add(Op::rms_norm, {x});
  const int chosen = s.add(Op::router, {n}, gpu, true);
  s.add(Op::linear, {n});
  s.add(Op::moe, {n, chosen});
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "rms_norm 0 -> 1\n"
        "convert 1 -> 5b\n"
        "router 1 -> 2\n"
        "linear 5b -> 3\n"
        "moe 5b 2 -> 4\n");
  CHECK(s.graph.nodes[2].place == gpu);
  CHECK(s.graph.nodes[2].layer == 2);
  CHECK(s.value(5).place == gpu);
  CHECK(s.value(5).width == 8);
  CHECK(s.value(5).name == "v in bf16");
}

TEST_CASE("products whose output others read in f32 stay f32; sums are f32") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int n = s.add(Op::rms_norm, {x});
  const int a = s.add(Op::linear, {n});
  const int b = s.add(Op::add, {x, a});
  const int c = s.add(Op::linear, {n});  // another product alone reads it
  s.add(Op::linear, {c});
  s.add(Op::linear, {b});  // of a sum: converted
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "rms_norm 0 -> 1b\n"
        "linear 1b -> 2\n"
        "add 0 2 -> 3\n"
        "linear 1b -> 4b\n"
        "linear 4b -> 5\n"
        "convert 3 -> 7b\n"
        "linear 7b -> 6\n");
}

TEST_CASE("the CPU reads attention's bf16 in f32, converted on the GPU before it is copied") {
  Sketch s;
  const int q = s.add(Op::embedding, {});
  const int a = s.add(Op::gqa, {q, q, q});
  const int copy = s.add(Op::copy, {a}, cpu);
  s.add(Op::linear, {copy}, cpu);
  s.add(Op::linear, {a});  // on the GPU it is read as it is
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "gqa 0 0 0 -> 1b\n"
        "convert 1b -> 5\n"
        "copy 5 -> 2\n"
        "linear 2 -> 3\n"
        "linear 1b -> 4\n");
  CHECK(s.value(5).place == gpu);
  CHECK(s.graph.nodes[2].place == gpu);
  CHECK(s.value(5).name == "v in f32");
}

TEST_CASE("latent attention reads its queries in bf16, and the rest of its inputs in f32") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int n = s.add(Op::rms_norm, {x});
  const int q = s.add(Op::linear, {n});
  const int latent = s.add(Op::linear, {n});
  s.add(Op::mla, {q, latent, s.slice(latent)});
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "rms_norm 0 -> 1b\n"
        "linear 1b -> 2b\n"
        "linear 1b -> 3\n"
        "mla 2b 3 4 -> 5b\n");
}

TEST_CASE("what comes from the CPU is f32 and converted on the GPU, once for all products") {
  Sketch s;
  const int x = s.add(Op::embedding, {}, cpu);
  const int copy = s.add(Op::copy, {x}, gpu);
  s.add(Op::linear, {copy});
  s.add(Op::linear, {copy});
  s.add(Op::rms_norm, {copy});
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "copy 0 -> 1\n"
        "convert 1 -> 5b\n"
        "linear 5b -> 2\n"
        "linear 5b -> 3\n"
        "rms_norm 1 -> 4\n");
}

TEST_CASE("a view has its base's type, and counts as a reader of it") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int n = s.add(Op::rms_norm, {x});
  const int both = s.add(Op::linear, {n});
  const int part = s.slice(both);
  s.add(Op::linear, {part});  // a product alone reads it: the base is written in bf16
  const int other = s.add(Op::linear, {n});
  const int first = s.slice(other);
  s.add(Op::rms_norm, {first});  // f32
  s.add(Op::linear, {first});    // bf16: of its columns alone
  s.give_types();
  CHECK(s.is_bf16(both));
  CHECK(s.is_bf16(part));
  CHECK_FALSE(s.is_bf16(other));
  CHECK_FALSE(s.is_bf16(first));
  CHECK(s.text() ==
        "embedding -> 0\n"
        "rms_norm 0 -> 1b\n"
        "linear 1b -> 2b\n"
        "linear 3b -> 4\n"
        "linear 1b -> 5\n"
        "rms_norm 6 -> 7\n"
        "convert 6 -> 9b\n"
        "linear 9b -> 8\n");
  CHECK(s.value(9).width == 2);
  CHECK(s.value(9).base == -1);
}

TEST_CASE("routing is never converted") {
  Sketch s;
  const int x = s.add(Op::embedding, {});
  const int chosen = s.add(Op::router, {x}, gpu, true);
  const int there = s.add(Op::copy, {chosen}, cpu, true);
  s.add(Op::moe, {x, chosen, there});
  s.give_types();
  CHECK(s.text() ==
        "embedding -> 0\n"
        "router 0 -> 1\n"
        "copy 1 -> 2\n"
        "convert 0 -> 4b\n"
        "moe 4b 1 2 -> 3\n");
}
