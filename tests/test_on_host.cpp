// The executor of CUDA kernels on the CPU: right kernels run right in every order, bugs are reported with their place.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <utility>

#include "engine/tensor.h"
#include "kernels/on_host/executor.h"
#include "kernels/on_host/stream.h"
#include "tests/on_device.h"
#include "tests/on_host_kernels.h"

namespace duel::test {
namespace {

constexpr on_host::Options orders[] = {{on_host::Order::in_turn, 1},
                                       {on_host::Order::shuffled, 2},
                                       {on_host::Order::shuffled, 3},
                                       {on_host::Order::unfair, 4},
                                       {on_host::Order::unfair, 5}};

struct Seen {
  std::string error;
  bool wrong = false;
};
Seen run(const HostKernel& k, on_host::Options order) {
  const DeviceScope device(Device::cuda_host);
  const on_host::Options before = std::exchange(on_host::options(), order);
  Seen seen;
  Tensor out = empty({256});
  try {
    k.run(static_cast<float*>(out.storage()->data));
    const std::vector<float> values = out.to_vector<float>();
    for (int i = 0; k.expected && i < 256; ++i)
      seen.wrong = seen.wrong || !(values[static_cast<std::size_t>(i)] == k.expected(i));
  } catch (const std::exception& e) {
    seen.error = e.what();
  }
  on_host::options() = before;
  return seen;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool with_asan = true;
#else
constexpr bool with_asan = false;
#endif
#ifdef DUEL_RACE
constexpr bool with_race = true;
#else
constexpr bool with_race = false;
#endif

// Whether f ends the process, as a crash or a report of AddressSanitizer does.
template <class F>
bool dies(F f) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (!std::freopen("/dev/null", "w", stderr)) _exit(0);
    std::signal(SIGSEGV, SIG_DFL);
    std::signal(SIGABRT, SIG_DFL);
    f();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace

TEST_CASE("on_host: right kernels run right in every order, bugs are found") {
  int right = 0, bugs = 0;
  for (const HostKernel& k : host_kernels()) {
    INFO(k.name);
    if (k.finder == Finder::nobody) {
      for (const on_host::Options& o : orders) {
        const Seen seen = run(k, o);
        CHECK(seen.error == "");
        CHECK_FALSE(seen.wrong);
      }
      ++right;
      continue;
    }
    if (k.finder == Finder::asan && with_asan) {
      CHECK(dies([&] { run(k, orders[0]); }));
      ++bugs;
      continue;
    }
    const bool by_error = k.finder == Finder::always || (k.race && with_race);
    if (!by_error && k.finder != Finder::result) continue;  // this build cannot see it
    bool found = false;
    for (const on_host::Options& o : orders) {
      const Seen seen = run(k, o);
      if (!by_error) {
        found = found || seen.wrong;
        continue;
      }
      INFO(seen.error);
      CHECK(seen.error.find(k.says) != std::string::npos);
      // A deadlock and the like names the line too.
      CHECK(seen.error.find("on_host_kernels.cu:") != std::string::npos);
      found = !seen.error.empty();
    }
    CHECK(found);
    ++bugs;
  }
  std::printf("on_host: %d right kernels, %d seeded bugs found\n", right, bugs);
}

TEST_CASE("on_host: after an error the next kernel runs as if nothing had been") {
  const std::vector<HostKernel> kernels = host_kernels();
  for (const HostKernel& k : kernels) {
    if (k.finder != Finder::always) continue;
    CHECK(run(k, orders[1]).error != "");
    const Seen seen = run(kernels[0], orders[1]);
    CHECK(seen.error == "");
    CHECK_FALSE(seen.wrong);
  }
}

TEST_CASE("on_host: nothing runs before the host waits, and device memory starts as NaN") {
  const DeviceScope device(Device::cuda_host);
  on_host::synchronize();
  const std::uint64_t before = on_host::statistics().launches;
  Tensor x = full({1000}, 3);
  CHECK(on_host::statistics().launches == before);
  CHECK(on_host::queued() > 0);
  CHECK(x.to_vector<float>()[999] == 3);
  CHECK(on_host::statistics().launches == before + 1);
  CHECK(on_host::queued() == 0);
  const std::vector<float> fresh = empty({100}).to_vector<float>();
  for (float v : fresh) CHECK(v != v);
  // What the host gives may change at once.
  std::vector<float> values(10, 1.5f);
  Tensor y = empty({10});
  assign(y, values.data(), 40);
  values.assign(10, 0);
  CHECK(y.to_vector<float>() == std::vector<float>(10, 1.5f));
}

TEST_CASE("on_host: a host read of device memory ends the process") {
  const DeviceScope device(Device::cuda_host);
  Tensor x = full({16}, 3);
  x.to_vector<float>();
  const volatile float* p = static_cast<const float*>(x.storage()->data);
  CHECK(dies([&] { [[maybe_unused]] const float v = *p; }));
  CHECK_FALSE(dies([&] { x.to_vector<float>(); }));
}

}  // namespace duel::test
