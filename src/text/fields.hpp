// Reads members of untrusted JSON objects with checks of their types.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/limits.hpp"

namespace ktx::text {

/// The member `name`; null when there is none or it is null. `object` must be an object.
inline const Json* member(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// A member that must be there.
inline const Json& required(const Json& object, std::string_view name, const std::string& where) {
  const Json* found = member(object, name);
  if (found == nullptr) throw_input("'" + std::string(name) + "' is missing", where);
  return *found;
}

/// Throws input error unless `value` is an object / an array.
inline const Json& expect_object(const Json& value, std::string_view name,
                                 const std::string& where) {
  if (!value.is_object())
    throw_input("'" + std::string(name) + "': expected an object, found " + value.type_name(),
                where);
  return value;
}
inline const Json& expect_array(const Json& value, std::string_view name,
                                const std::string& where) {
  if (!value.is_array())
    throw_input("'" + std::string(name) + "': expected an array, found " + value.type_name(),
                where);
  return value;
}

inline const std::string& expect_string(const Json& value, std::string_view name,
                                        const std::string& where) {
  if (!value.is_string())
    throw_input("'" + std::string(name) + "': expected a string, found " + value.type_name(),
                where);
  return value.get_ref<const std::string&>();
}

/// A boolean member, or `otherwise` when there is none.
inline bool flag(const Json& object, std::string_view name, bool otherwise,
                 const std::string& where) {
  const Json* found = member(object, name);
  if (found == nullptr) return otherwise;
  if (!found->is_boolean())
    throw_input("'" + std::string(name) + "': expected true or false, found " + found->type_name(),
                where);
  return found->get<bool>();
}

/// Throws input error when an array has more entries than `most`.
inline void expect_at_most(int64_t most, size_t entries, std::string_view name,
                           const std::string& where) {
  if (entries > static_cast<size_t>(most))
    throw_input("'" + std::string(name) + "': expected at most " + std::to_string(most) +
                    " entries, found " + std::to_string(entries),
                where);
}

/// A token id below `vocabulary`. Checked in 64 bits: 2^32 + 1 is not id 1.
inline int32_t expect_id(const Json& value, std::string_view name, const std::string& where,
                         int64_t vocabulary = limits::vocabulary) {
  const auto below = static_cast<uint64_t>(vocabulary);
  // What is negative and stored as signed is far above as unsigned.
  if (!value.is_number_integer() || value.get<uint64_t>() >= below)
    throw_input("'" + std::string(name) + "': expected a token id from 0 to " +
                    std::to_string(vocabulary - 1) + ", found " + base::dump_json(value),
                where);
  return value.get<int32_t>();
}

}  // namespace ktx::text
