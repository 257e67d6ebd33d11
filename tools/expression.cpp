#include "tools/expression.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "engine/error.h"

namespace duel {
namespace {

class Parser {
 public:
  Parser(const std::string& text, std::int64_t count) : text_(text), count_(count) {}

  std::vector<Term> sum() {
    std::vector<Term> terms;
    double sign = take('-') ? -1 : 1;
    for (;;) {
      terms.push_back(term(sign));
      if (take('+'))
        sign = 1;
      else if (take('-'))
        sign = -1;
      else if (at_end())
        return terms;
      else
        wrong("+ or - or the end");
    }
  }

 private:
  Term term(double sign) {
    Term t{sign, {}};
    skip_spaces();
    const std::size_t before = at_;
    double factor = 0;
    if (number(factor)) {
      if (take('*')) {
        t.weight *= factor;
      } else {
        at_ = before;
        t.indices.push_back(index());
        return t;
      }
    }
    if (!word("mean")) {
      t.indices.push_back(index("an index or mean(...)"));
      return t;
    }
    if (!take('(')) wrong("(");
    do t.indices.push_back(index());
    while (take(','));
    if (!take(')')) wrong(", or )");
    return t;
  }

  bool number(double& value) {
    const auto [end, error] = std::from_chars(begin(), finish(), value, std::chars_format::fixed);
    if (error != std::errc() || !std::isfinite(value) || value < 0) return false;
    at_ += static_cast<std::size_t>(end - begin());
    return true;
  }

  std::int64_t index(const char* expected = "an index") {
    skip_spaces();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(begin(), finish(), value);
    const bool whole = end == finish() || (*end != '.' && *end != '*');
    if (error == std::errc::result_out_of_range)
      value = count_;  // too large in any case
    else if (error != std::errc() || *begin() == '-' || !whole)
      wrong(expected);
    require(value < count_, "--expression: index {} at character {}, expected 0 to {}: the file has {} vectors",
            std::string_view(begin(), static_cast<std::size_t>(end - begin())), at_ + 1, count_ - 1, count_);
    at_ += static_cast<std::size_t>(end - begin());
    return value;
  }

  bool word(std::string_view expected) {
    skip_spaces();
    if (std::string_view(text_).substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  bool take(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool at_end() {
    skip_spaces();
    return at_ == text_.size();
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  const char* begin() const { return text_.data() + at_; }
  const char* finish() const { return text_.data() + text_.size(); }

  [[noreturn]] void wrong(const char* expected) {
    skip_spaces();
    const std::string found = at_ == text_.size() ? "the end" : fmt::format("'{}'", text_.substr(at_, 12));
    fail("--expression: {} at character {}, expected {}", found, at_ + 1, expected);
  }

  std::string text_;
  std::int64_t count_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<Term> parse_expression(const std::string& text, std::int64_t count) { return Parser(text, count).sum(); }

}  // namespace duel
