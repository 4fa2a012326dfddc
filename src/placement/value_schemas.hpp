// JSON Schemas of the values of rule keywords, matching the parsers of values.hpp.
#pragma once

#include "core/base/json.hpp"

namespace ktx::placement {

Json text_schema();
Json count_schema();  // a whole number from 1
Json flag_schema();
Json size_schema();
Json pattern_schema();
Json class_schema();
Json layers_schema();
Json devices_schema();
Json op_schema();
Json format_schema();
Json numa_schema();
Json spread_schema();
Json experts_schema();
Json defer_schema();
Json isa_schema();
Json experts_per_token_schema();
Json cache_format_schema();
Json version_schema();

}  // namespace ktx::placement
