// The blocks of a workspace.
#include "engine/run/workspace.hpp"

#include "engine/load/node_memory.hpp"

namespace ktx::engine {

Workspace::Workspace(const Program& program, const hw::Machine& machine)
    : experts_per_token(static_cast<size_t>(program.max_rows())),
      sequences(static_cast<size_t>(program.max_sequences())) {
  for (size_t place = 0; place < program.places().size(); ++place) {
    const auto numbers = static_cast<size_t>(program.value_numbers()[place]);
    auto& memory =
        places_.emplace_back(PlaceMemory{base::Buffer(numbers * sizeof(float), true),
                                         base::Buffer(program.scratch_bytes()[place], true)});
    interleave(memory.values, machine);
    interleave(memory.scratch, machine);
  }
}

}  // namespace ktx::engine
