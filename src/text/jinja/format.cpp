// "%s of %d" % (a, b) and "{} of {:d}".format(a, b).
#include "text/jinja/format.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/format_spec.hpp"

namespace ktx::text::jinja {

namespace {

// What "%..." says after the percent sign.
class PercentFormatter {
 public:
  PercentFormatter(const Text& format, const Value& values, Evaluator& evaluator)
      : format_(format), text_(format.bytes()), values_(values), budget_(evaluator.budget()) {
    const bool is_tuple = values.is_list() && values.list().kind == List::Kind::tuple;
    arguments_ = is_tuple ? values.list().items : std::vector<Value>{values};
  }

  Text run() {
    for (size_t at = 0; at < text_.size();) {
      const size_t percent = text_.find('%', at);
      if (percent == std::string_view::npos) {
        out_.append(format_, at, text_.size());
        break;
      }
      out_.append(format_, at, percent);
      at = percent + 1;
      field(at);
    }
    if (!named_ && next_ < arguments_.size() && !values_.is_dict())
      throw_input("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  void field(size_t& at) {
    FormatSpec spec;
    spec.align = '>';
    const bool has_name = at < text_.size() && text_[at] == '(';
    Value value;
    if (has_name) value = named(at);
    flags(at, spec);
    spec.width = count(at, 0);
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = -spec.width;
    }
    if (at < text_.size() && text_[at] == '.')
      spec.precision = std::max<int64_t>(count(++at, 0), 0);
    if (at == text_.size()) throw_input("incomplete format");
    const char type = text_[at++];
    if (type == '%') return out_.append("%");
    if (!has_name) value = next();
    convert(value, type, spec);
  }

  Value named(size_t& at) {
    const size_t end = text_.find(')', at);
    if (end == std::string_view::npos) throw_input("incomplete format key");
    const auto key = text_.substr(at + 1, end - at - 1);
    if (!values_.is_dict()) throw_input("format requires a mapping");
    const Value* found = values_.dict().find(key);
    if (found == nullptr) throw_input("'" + std::string(key) + "' is not in the mapping");
    named_ = true;
    at = end + 1;
    return *found;
  }

  void flags(size_t& at, FormatSpec& spec) {
    for (; at < text_.size(); ++at) {
      const char c = text_[at];
      if (c == '-')
        spec.align = '<';
      else if (c == '+' || (c == ' ' && spec.sign != '+'))
        spec.sign = c;
      else if (c == '#')
        spec.alternate = true;
      else if (c == '0')
        zero_ = true;
      else if (c != ' ')
        break;
    }
  }

  int64_t count(size_t& at, int64_t otherwise) {
    if (at == text_.size() || text_[at] != '*') return read_count(text_, at, otherwise);
    ++at;
    const Value value = next();
    constexpr int64_t most = 1 << 30;
    if (!value.is_integral()) throw_input("* wants int");
    if (value.integral() < -most || value.integral() > most)
      throw_input("a width or precision is too large");
    return value.integral();
  }

  Value next() {
    if (next_ == arguments_.size()) throw_input("not enough arguments for format string");
    return arguments_[next_++];
  }

  void convert(const Value& value, char type, FormatSpec spec) {
    const bool zero = std::exchange(zero_, false);
    if (type == 's' || type == 'r' || type == 'a') {
      spec.type = 's';
      const Text text = type == 's' ? to_text(value, budget_) : to_repr(value, budget_);
      return out_.append(format_value(text, spec, budget_));
    }
    if (!value.is_numeric())
      throw_input("%" + std::string(1, type) + " format: a real number is required, not " +
                  std::string(type_name(value)));
    if (zero && spec.align == '>') {
      spec.fill = "0";
      spec.align = '=';
    }
    Value number = value;
    if (std::string_view("diuxXo").find(type) != std::string_view::npos) {
      spec.type = type == 'i' || type == 'u' ? 'd' : type;
      if (!value.is_integral() && std::fabs(value.number()) < 9e18)
        number = static_cast<int64_t>(value.number());
      spec.precision = -1;
    } else if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
      spec.type = type;
    } else {
      throw_input("unsupported format character '" + std::string(1, type) + "'");
    }
    out_.append(format_value(number, spec, budget_));
  }

  const Text& format_;
  const std::string_view text_;
  const Value& values_;
  Budget& budget_;
  std::vector<Value> arguments_;
  size_t next_ = 0;
  bool named_ = false, zero_ = false;
  Text out_;
};

class BraceFormatter {
 public:
  BraceFormatter(const Arguments& values, Evaluator& evaluator)
      : values_(values), evaluator_(evaluator) {}

  Text run(const Text& format, int depth = 0) {
    if (depth == 2) throw_input("Max string recursion exceeded");
    const std::string_view text = format.bytes();
    Text out;
    for (size_t at = 0; at < text.size();) {
      const size_t brace = text.find_first_of("{}", at);
      if (brace == std::string_view::npos) {
        out.append(format, at, text.size());
        break;
      }
      out.append(format, at, brace);
      at = brace + 1;
      if (at < text.size() && text[at] == text[brace]) {
        out.append(format, brace, at);
        ++at;
      } else if (text[brace] == '}') {
        throw_input("Single '}' encountered in format string");
      } else {
        const size_t end = field_end(text, at);
        out.append(field(format.slice(at, end), depth));
        at = end + 1;
      }
    }
    return out;
  }

 private:
  static size_t field_end(std::string_view text, size_t at) {
    for (int open = 1; at < text.size(); ++at) {
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    throw_input("expected '}' before end of string");
  }

  // "name!r:spec"
  Text field(const Text& field, int depth) {
    const std::string& text = field.bytes();
    const size_t name_end = std::min(text.find_first_of("!:"), text.size());
    Value value = look_up(text.substr(0, name_end));
    size_t at = name_end;
    if (at < text.size() && text[at] == '!') {
      const char conversion = at + 1 < text.size() ? text[at + 1] : ' ';
      if (conversion == 'r' || conversion == 'a')
        value = to_repr(value, evaluator_.budget());
      else if (conversion == 's')
        value = to_text(value, evaluator_.budget());
      else
        throw_input("unknown conversion in a format: expected !r, !s or !a");
      at += 2;
    }
    if (at < text.size() && text[at] != ':') throw_input("expected ':' after conversion specifier");
    const Text spec = at < text.size() ? run(field.slice(at + 1, text.size()), depth + 1) : Text();
    return format_value(value, parse_format_spec(spec.bytes()), evaluator_.budget());
  }

  // "0.name[key]"
  Value look_up(std::string_view name) {
    size_t at = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, at));
    while (at < name.size()) {
      const bool is_item = name[at] == '[';
      const size_t end =
          is_item ? name.find(']', at) : std::min(name.find_first_of(".[", at + 1), name.size());
      if (end == std::string_view::npos) throw_input("Missing ']' in format string");
      const auto key = name.substr(at + 1, end - at - 1);
      int64_t index = 0;
      const auto read = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool is_index = is_item && !key.empty() && read.ptr == key.data() + key.size();
      value =
          is_index ? evaluator_.item(value, index) : evaluator_.item(value, Text(std::string(key)));
      at = end + (is_item ? 1 : 0);
    }
    return value;
  }

  Value argument(std::string_view name) {
    size_t index = next_;
    if (name.empty()) {
      ++next_;
    } else {
      const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
      if (read.ptr != name.data() + name.size()) {
        for (const auto& [key, value] : values_.named)
          if (key == name) return value;
        throw_input("the format names '" + std::string(name) + "', which is not given");
      }
    }
    if (index >= values_.positional.size())
      throw_input("Replacement index " + std::to_string(index) +
                  " out of range for positional args tuple");
    return values_.positional[index];
  }

  const Arguments& values_;
  Evaluator& evaluator_;
  size_t next_ = 0;
};

}  // namespace

Text format_percent(const Text& format, const Value& values, Evaluator& evaluator) {
  return PercentFormatter(format, values, evaluator).run();
}

Text format_braces(const Text& format, const Arguments& values, Evaluator& evaluator) {
  return BraceFormatter(values, evaluator).run(format);
}

}  // namespace ktx::text::jinja
