// The one error type of the library. The library throws it and never prints or exits.
#pragma once
#include <fmt/format.h>

#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace duel {

// what() is one line that names the thing, what was found and what was expected.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw Error(fmt::format(text, std::forward<Args>(args)...));
}

template <class... Args>
void require(bool condition, fmt::format_string<Args...> text, Args&&... args) {
  if (!condition) throw Error(fmt::format(text, std::forward<Args>(args)...));
}

// Calls f; what a device's driver throws becomes an Error. std::bad_alloc stays what it is.
template <class F>
decltype(auto) on_driver(F f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(e.what());
  }
}

}  // namespace duel
