// The JSON Schema of rules files, for editors.
#pragma once

#include <string>

namespace ktx::placement {

/// Draft 7, as editors' YAML servers read it, from the tables of keywords; ends with '\n'.
std::string rules_schema();

}  // namespace ktx::placement
