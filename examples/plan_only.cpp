// Only planning: what a rules file does to a model on a machine, without loading a weight.
// Usage: example-plan_only MODEL RULES [MACHINE]
#include <iostream>

#include "ktx/error.hpp"
#include "ktx/plan.hpp"

int main(int argc, char** argv) try {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: example-plan_only MODEL RULES [MACHINE]\n";
    return 2;
  }
  const ktx::Plan plan = ktx::make_plan({.model = argv[1],
                                         .rules = argv[2],
                                         .machine = argc > 3 ? argv[3] : "",
                                         .header_only = true});
  std::cout << plan.text();
} catch (const ktx::Error& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
