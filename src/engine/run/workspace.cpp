// The blocks of a workspace.
#include "engine/run/workspace.hpp"

#include "engine/load/node_memory.hpp"

namespace ktx::engine {

Workspace::Workspace(const Program& program, const hw::Machine& machine)
    : experts_per_token(static_cast<size_t>(program.max_rows())),
      sequences(static_cast<size_t>(program.max_sequences())),
      prompts(sequences.size()),
      expert_slots(static_cast<size_t>(program.max_experts())) {
  for (size_t p = 0; p < program.places().size(); ++p) {
    const auto& place = program.places()[p];
    const auto values = static_cast<size_t>(program.value_bytes()[p]);
    const size_t scratch = program.scratch_bytes()[p];
    auto& memory = places_.emplace_back();
    if (place.kind == device::DeviceKind::cuda) {
      memory.gpu_values = device::alloc(place, values);
      memory.gpu_scratch = device::alloc(place, scratch);
      memory.values = memory.gpu_values.data();
      memory.scratch = memory.gpu_scratch.data();
      memory.inputs =
          std::make_unique<StepInputs>(InputShape::of(program), program.devices()->queue(int(p)));
      continue;
    }
    memory.cpu_values = base::Buffer(values, true);
    memory.cpu_scratch = base::Buffer(scratch, true);
    interleave(memory.cpu_values, machine);
    interleave(memory.cpu_scratch, machine);
    if (program.devices() != nullptr && program.devices()->has_gpus() && values > 0)
      memory.pin = device::Pin(memory.cpu_values.bytes());
    memory.values = memory.cpu_values.data();
    memory.scratch = memory.cpu_scratch.data();
  }
}

Workspace::~Workspace() = default;

void Workspace::stage(const Batch& batch) noexcept {
  for (auto& place : places_)
    if (place.inputs) place.inputs->stage(batch);
}

}  // namespace ktx::engine
