// The table of a file's keywords is the schema's root; keywords that hold others nest theirs.
#include "placement/schema.hpp"

#include "placement/keywords.hpp"

namespace ktx::placement {

std::string rules_schema() {
  Json out{{"$schema", "http://json-schema.org/draft-07/schema#"},
           {"title", "ktx rules file"},
           {"description",
            "Decides the op, device, format and NUMA policy of every module of a model."}};
  out.update(map_schema(file_keywords(), {"ktx", "rules"}));
  return base::dump_json(out, 2) + "\n";
}

}  // namespace ktx::placement
