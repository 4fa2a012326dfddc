// Operators of expressions, as Python defines them.
#pragma once

#include "text/jinja/ast.hpp"

namespace ktx::text::jinja {

/// Throw input error if the operands' types do not support the operation, and for integers that
/// don't fit in 64 bits.
Value binary(BinaryOp op, const Value& left, const Value& right, Evaluator& evaluator);
Value negative(const Value& value);
Value positive(const Value& value);
bool compare(CompareOp op, const Value& left, const Value& right, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

/// value[start:stop:step], None where a bound is left out. Throws input error for what can't be
/// sliced.
Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Budget& budget);

/// value[key] of lists, texts and dicts; nothing when there is no such item.
std::optional<Value> subscript(const Value& value, const Value& key, Budget& budget);

}  // namespace ktx::text::jinja
