#include "tools/stop_signals.h"

#include <unistd.h>

#include <csignal>

namespace duel {
namespace {

constexpr int handled[] = {SIGINT, SIGTERM, SIGHUP};
volatile std::sig_atomic_t first = 0;
struct sigaction before[3], pipe_before;

extern "C" void on_signal(int number) {
  if (first) ::_exit(128 + number);
  first = number;
}

}  // namespace

StopSignals::StopSignals() {
  first = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int i = 0; i < 3; ++i) {
    ::sigaction(handled[i], nullptr, &before[i]);
    if (handled[i] != SIGHUP || before[i].sa_handler != SIG_IGN) ::sigaction(handled[i], &action, nullptr);
  }
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before);
}
StopSignals::~StopSignals() {
  for (int i = 0; i < 3; ++i) ::sigaction(handled[i], &before[i], nullptr);
  ::sigaction(SIGPIPE, &pipe_before, nullptr);
}
int StopSignals::caught() const { return first; }

}  // namespace duel
