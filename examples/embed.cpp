// Embedding ktx: plan, load, generate with a callback for text, cancel.
// Usage: example-embed MODEL RULES PROMPT
#include <iostream>

#include "ktx/error.hpp"
#include "ktx/session.hpp"

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::cerr << "usage: example-embed MODEL RULES PROMPT\n";
    return 2;
  }
  const ktx::Plan plan = ktx::make_plan({.model = argv[1], .rules = argv[2]});
  ktx::Engine engine(plan);
  ktx::Session session(engine);

  std::vector<int32_t> prompt = engine.tokenizer().encode(argv[3]);
  if (const auto bos = engine.tokenizer().bos()) prompt.insert(prompt.begin(), *bos);

  ktx::TextStream text(engine.tokenizer());
  const auto result = session.generate(
      prompt, {.max_new_tokens = 64, .stop_ids = engine.tokenizer().stop_ids()}, text,
      [](const std::string& piece) {
        std::cout << piece << std::flush;
        return std::cout.good();  // false cancels; session.cancel() does from elsewhere
      });
  std::cout << "\n" << result.ids.size() << " tokens\n";
} catch (const ktx::Error& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
