#include "kernels/on_host/executor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "kernels/on_host/fiber.h"
#include "kernels/on_host/race.h"
#include "kernels/poison.h"

namespace duel::on_host {
namespace {

constexpr std::size_t shared_limit = 227 << 10, static_shared_limit = 48 << 10;
constexpr std::size_t shared_capacity = 320 << 10;  // with room for what lies between variables
constexpr std::size_t red_zone = 64;
constexpr std::byte poison{0xff};  // all bits set is a NaN in every floating-point format

struct AsyncCopy {
  void* to;
  const void* from;
  std::size_t bytes;
};

enum class State : std::uint8_t { ready, at_barrier, in_warp, idle };

// A fiber and the thread of the block that it runs at present.
struct Thread {
  Thread(void (*entry)(), std::size_t i) : fiber(entry, i) {}
  Fiber fiber;
  int number = -1;
  Index3 index{0, 0, 0};
  State state = State::idle;
  Site waits_at{};
  Thread* next = nullptr;
  std::deque<std::vector<AsyncCopy>> groups;
  std::vector<AsyncCopy> open;
};

struct Failed {};  // thrown through the kernel by fail()

struct Warp {
  std::uint32_t live = 0;  // lanes that have not returned
  Meeting* meetings = nullptr;
};

struct SharedVariable {
  const void* key;
  std::byte* at;
};

void thread_loop();

class Machine {
 public:
  Machine() : shared_(static_cast<std::byte*>(std::aligned_alloc(1024, shared_capacity))) {}

  void run(std::size_t kernel, Extent3 grid, Extent3 block, std::size_t shared_bytes, Body body, void* arguments);
  bool busy() const { return current_ != nullptr; }
  [[noreturn]] void fail(const std::string& message);
  [[noreturn]] void stop(const std::string& message);
  void loop();

  Votes barrier(Site site, int predicate);
  Meeting& meet(std::uint32_t mask, const void* value, std::size_t bytes, Site site);
  void leave(Meeting& m) {
    if (--m.readers) return;
    m.next = free_meetings_;
    free_meetings_ = &m;
  }
  void* shared_variable(const void* key, std::size_t bytes, std::size_t align, const char* name);
  void* dynamic_shared() { return shared_.get(); }
  Thread& current() { return *current_; }

  Statistics counts;

 private:
  void run_block(std::size_t number);
  void note(const std::string& message);
  void switch_to(Thread* to);  // null: back to run()
  void wait(State why, Site site);
  void make_ready(Thread* t);
  Thread* next_ready();
  Thread* idle_fiber();
  void start_thread(Thread& t);
  void report_deadlock();
  void forget_fibers();
  bool shuffles() const { return options().order != Order::in_turn; }
  template <class List>
  void shuffle(List&& v) {
    for (std::size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[random() % i]);
  }
  std::uint32_t random() {  // xorshift64 (Marsaglia 2003)
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<std::uint32_t>(random_ >> 11);
  }

  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> shared_;
  std::size_t dynamic_bytes_ = 0, shared_end_ = 0, static_bytes_ = 0;
  std::vector<SharedVariable> variables_;

  Fiber main_;
  std::vector<std::unique_ptr<Thread>> fibers_;
  std::vector<Thread*> idle_;
  std::size_t fibers_in_use_ = 0;
  Thread* current_ = nullptr;
  Thread *ready_head_ = nullptr, *ready_tail_ = nullptr;

  Body body_ = nullptr;
  void* arguments_ = nullptr;
  std::vector<int> order_;  // in which the threads of a block start
  int started_ = 0, done_ = 0, threads_ = 0;
  std::vector<Warp> warps_;
  std::vector<Thread*> at_barrier_;
  Site barrier_site_{};
  Votes votes_, result_[2];  // of the barrier that fills, and of the last two that were passed
  int passed_ = 0;
  Meeting* free_meetings_ = nullptr;
  std::deque<Meeting> meetings_;
  std::uint64_t random_ = 1;
  std::string error_;
};

Machine& machine() {
  thread_local Machine m;
  return m;
}

void thread_loop() { machine().loop(); }

bool same_place(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string hex(std::uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}
std::string to_string(Index3 i) {
  return "(" + std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z) + ")";
}

// ---- running

void Machine::run(std::size_t kernel, Extent3 grid, Extent3 block, std::size_t shared_bytes, Body body,
                  void* arguments) {
  const std::string& name = kernel_records()[kernel].name;
  if (busy()) throw Error("cuda-host: a kernel launches another: " + name);
  if (block.volume() == 0 || block.volume() > 1024 || block.z > 64)
    throw Error("cuda-host: a block of " + std::to_string(block.volume()) + " threads, expected 1 to 1024, in " + name);
  if (grid.volume() == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw Error("cuda-host: a grid of " + std::to_string(grid.x) + "x" + std::to_string(grid.y) + "x" +
                std::to_string(grid.z) + " blocks, expected 1 to 2^31-1, 65535, 65535, in " + name);
  if (shared_bytes > shared_limit)
    throw Error("cuda-host: " + std::to_string(shared_bytes) + " bytes of shared memory, expected at most " +
                std::to_string(shared_limit) + ", in " + name);
  ++kernel_records()[kernel].launches;
  ++counts.launches;
  grid_extent = grid;
  block_extent = block;
  body_ = body;
  arguments_ = arguments;
  dynamic_bytes_ = shared_bytes;
  threads_ = static_cast<int>(block.volume());
  order_.resize(block.volume());
  for (int i = 0; i < threads_; ++i) order_[static_cast<std::size_t>(i)] = i;
  warps_.resize((block.volume() + 31) / 32);
  random_ = options().seed * 0x9E3779B97F4A7C15u + 88172645463325252u;
  error_.clear();
  race::launch_begins();

  const std::size_t blocks = grid.volume();
  std::vector<std::size_t> turn;
  if (shuffles()) {
    turn.resize(blocks);
    for (std::size_t i = 0; i < blocks; ++i) turn[i] = i;
    shuffle(turn);
  }
  for (std::size_t i = 0; i < blocks && error_.empty(); ++i) run_block(turn.empty() ? i : turn[i]);
  if (error_.empty()) return;
  forget_fibers();
  throw Error(error_ + ", in kernel " + name);
}

void Machine::run_block(std::size_t number) {
  const auto b = static_cast<unsigned>(number);
  block_index = {b % grid_extent.x, b / grid_extent.x % grid_extent.y, b / (grid_extent.x * grid_extent.y)};
  started_ = done_ = 0;
  passed_ = 0;
  votes_ = {};
  at_barrier_.clear();
  ready_head_ = ready_tail_ = nullptr;
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const int lanes = std::min(32, threads_ - static_cast<int>(w) * 32);
    warps_[w] = {lanes == 32 ? ~0u : (1u << lanes) - 1, nullptr};
  }
  variables_.clear();
  static_bytes_ = 0;
  shared_end_ = dynamic_bytes_ ? dynamic_bytes_ + red_zone : 0;
  ASAN_POISON_MEMORY_REGION(shared_.get(), shared_capacity);
  ASAN_UNPOISON_MEMORY_REGION(shared_.get(), dynamic_bytes_);
  std::fill_n(shared_.get(), dynamic_bytes_, poison);
  race::block_begins(shared_.get(), shared_capacity, dynamic_bytes_);
  if (shuffles()) shuffle(order_);
  switch_to(idle_fiber());
}

// What every fiber does for ever: run threads that have not started; then rest until it is wanted again.
void Machine::loop() {
  Thread& me = *current_;
  bool error = false;
  Fiber::entered(main_);
  for (;;) {
    while (started_ < threads_) {
      start_thread(me);
      try {
        body_(arguments_);
      } catch (const Failed&) {  // unwinds this thread; the others are forgotten where they wait
        error = true;
      }
      if (error) switch_to(nullptr);
      me.groups.clear();
      me.open.clear();
      warps_[static_cast<std::size_t>(me.number) / 32].live &= ~(1u << (me.number & 31));
      ++done_;
      ++counts.threads;
    }
    me.number = -1;
    idle_.push_back(&me);
    wait(State::idle, {});
  }
}

void Machine::start_thread(Thread& t) {
  t.number = order_[static_cast<std::size_t>(started_++)];
  const auto n = static_cast<unsigned>(t.number);
  t.index = {n % block_extent.x, n / block_extent.x % block_extent.y, n / (block_extent.x * block_extent.y)};
  t.state = State::ready;
  thread_index = t.index;
}

Thread* Machine::idle_fiber() {
  if (!idle_.empty()) {
    Thread* t = idle_.back();
    idle_.pop_back();
    return t;
  }
  return fibers_.emplace_back(std::make_unique<Thread>(thread_loop, fibers_.size())).get();
}

void Machine::switch_to(Thread* to) {
  Thread* from = current_;
  current_ = to;
  Fiber::switch_to(from ? from->fiber : main_, to ? to->fiber : main_);
  if (from) thread_index = from->index;
}

// The thread that runs cannot go on: another one does, or a new one starts, or the block is done.
void Machine::wait(State why, Site site) {
  Thread* me = current_;
  me->state = why;
  me->waits_at = site;
  if (Thread* t = next_ready()) {
    if (t != me) switch_to(t);
  } else if (started_ < threads_) {
    switch_to(idle_fiber());
  } else {
    if (done_ < threads_) report_deadlock();
    switch_to(nullptr);
  }
  me->state = State::ready;
}

void Machine::make_ready(Thread* t) {
  if (options().order == Order::unfair) {
    t->next = ready_head_;
    ready_head_ = t;
    if (!ready_tail_) ready_tail_ = t;
    return;
  }
  t->next = nullptr;
  (ready_tail_ ? ready_tail_->next : ready_head_) = t;
  ready_tail_ = t;
}
Thread* Machine::next_ready() {
  Thread* t = ready_head_;
  if (!t) return nullptr;
  ready_head_ = t->next;
  if (!ready_head_) ready_tail_ = nullptr;
  return t;
}

// ---- errors

void Machine::note(const std::string& message) {
  if (error_.empty())
    error_ = "cuda-host: " + message + " [block " + to_string(block_index) + " thread " + to_string(thread_index) + "]";
}
void Machine::fail(const std::string& message) {
  note(message);
  throw Failed{};
}
void Machine::stop(const std::string& message) {
  note(message);
  switch_to(nullptr);
  std::abort();  // the fibers of a failed launch are never taken up again
}

void Machine::report_deadlock() {
  std::map<std::string, std::pair<int, int>> waiting;  // place -> how many, the first
  for (const auto& t : fibers_) {
    if (t->state != State::at_barrier && t->state != State::in_warp) continue;
    auto [it, is_new] = waiting.try_emplace(on_host::to_string(t->waits_at), 0, t->number);
    ++it->second.first;
  }
  error_ = "cuda-host: deadlock in block " + to_string(block_index) + ": " + std::to_string(done_) + " of " +
           std::to_string(threads_) + " threads have returned";
  for (const auto& [place, who] : waiting)
    error_ += ", " + std::to_string(who.first) + " wait in " + place + " (thread " + std::to_string(who.second) + ")";
}

void Machine::forget_fibers() {
  fibers_.clear();
  idle_.clear();
}

// ---- barriers and warps

Votes Machine::barrier(Site site, int predicate) {
  if (!current_) throw Error(std::string("cuda-host: ") + site.what + " outside a kernel");
  Thread* me = current_;
  ++counts.barrier_arrivals;
  if (at_barrier_.empty())
    barrier_site_ = site;
  else if (!same_place(barrier_site_, site))
    fail("divergent barrier: this thread is at " + on_host::to_string(site) + ", others of its block wait at " +
         on_host::to_string(barrier_site_));
  votes_.any |= predicate != 0;
  votes_.all &= predicate != 0;
  votes_.count += predicate != 0;
  at_barrier_.push_back(me);
  const Votes& result = result_[passed_ & 1];
  if (static_cast<int>(at_barrier_.size()) < threads_) {
    wait(State::at_barrier, site);
    return result;
  }
  result_[passed_++ & 1] = std::exchange(votes_, {});
  race::block_met();
  if (shuffles()) shuffle(at_barrier_);
  for (Thread* t : at_barrier_) make_ready(t);
  at_barrier_.clear();
  wait(State::ready, site);
  return result;
}

Meeting& Machine::meet(std::uint32_t mask, const void* value, std::size_t bytes, Site site) {
  if (!current_) throw Error(std::string("cuda-host: ") + site.what + " outside a kernel");
  Thread* me = current_;
  Warp& warp = warps_[static_cast<std::size_t>(me->number) / 32];
  const auto lane = static_cast<std::uint32_t>(me->number & 31);
  ++counts.warp_arrivals;
  const auto here = [&] { return on_host::to_string(site); };
  if (!(mask >> lane & 1)) fail(here() + ": mask " + hex(mask) + " lacks the calling lane " + std::to_string(lane));
  if (mask & ~warp.live)
    fail(here() + ": mask " + hex(mask) + " names lanes that have returned or do not exist; there are " +
         hex(warp.live));
  Meeting* m = warp.meetings;
  while (m && !(m->mask & mask)) m = m->next;
  if (m && m->mask != mask)
    fail(here() + ": mask " + hex(mask) + " overlaps mask " + hex(m->mask) + " of lanes that wait at " +
         on_host::to_string(m->site));
  if (m && !same_place(m->site, site))
    fail("divergent warp operation: lane " + std::to_string(lane) + " is at " + here() +
         ", others of its warp wait at " + on_host::to_string(m->site));
  if (!m) {
    m = free_meetings_ ? std::exchange(free_meetings_, free_meetings_->next) : &meetings_.emplace_back();
    m->mask = mask;
    m->arrived = 0;
    m->site = site;
    m->next = std::exchange(warp.meetings, m);
  }
  std::memcpy(m->slot + lane * bytes, value, bytes);
  m->arrived |= 1u << lane;
  m->waiting[lane] = me;
  if (m->arrived != mask) {
    wait(State::in_warp, site);
    return *m;
  }
  Meeting** link = &warp.meetings;
  while (*link != m) link = &(*link)->next;
  *link = m->next;
  m->readers = __builtin_popcount(mask);
  race::warp_met(static_cast<unsigned>(me->number) / 32);
  Thread* others[32];
  int count = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1 && (shuffles() || m->waiting[i] != me)) others[count++] = static_cast<Thread*>(m->waiting[i]);
  if (shuffles()) shuffle(std::span(others, static_cast<std::size_t>(count)));
  for (int i = 0; i < count; ++i) make_ready(others[i]);
  if (shuffles()) wait(State::ready, site);  // else the last to come goes on at once
  return *m;
}

void* Machine::shared_variable(const void* key, std::size_t bytes, std::size_t align, const char* name) {
  for (const SharedVariable& v : variables_)
    if (v.key == key) return v.at;
  const std::size_t offset = (shared_end_ + align - 1) / align * align;
  static_bytes_ += bytes;
  if (static_bytes_ > static_shared_limit || static_bytes_ + dynamic_bytes_ > shared_limit ||
      offset + bytes + red_zone > shared_capacity)
    fail("too much shared memory: " + std::to_string(static_bytes_) + " bytes declared and " +
         std::to_string(dynamic_bytes_) + " dynamic with '" + name + "'");
  std::byte* p = shared_.get() + offset;
  ASAN_UNPOISON_MEMORY_REGION(p, bytes);
  std::fill_n(p, bytes, poison);
  race::shared_begins(p, bytes);
  shared_end_ = offset + bytes + red_zone;
  variables_.push_back({key, p});
  return p;
}

}  // namespace

// ---- the interface

Options& options() {
  static Options o;
  return o;
}
const Statistics& statistics() { return machine().counts; }

std::vector<KernelRecord>& kernel_records() {
  static std::vector<KernelRecord> records;
  return records;
}
std::size_t register_kernel(const char* pretty_function) {
  // "... [with auto kernel = duel::kernels::name<...>; ...]"
  std::string name = pretty_function;
  if (const auto begin = name.find("kernel = "); begin != name.npos) name = name.substr(begin + 9);
  name = name.substr(0, std::min(name.find(';'), name.rfind(']')));
  kernel_records().push_back({name, 0});
  return kernel_records().size() - 1;
}

void run(std::size_t kernel, Extent3 grid, Extent3 block, std::size_t shared_bytes, Body body, void* arguments) {
  machine().run(kernel, grid, block, shared_bytes, body, arguments);
}
bool in_kernel() { return machine().busy(); }
void fail(const std::string& message) {
  if (!in_kernel()) throw Error("cuda-host: " + message);
  machine().fail(message);
}
void stop(const std::string& message) { machine().stop(message); }

std::string to_string(const Site& s) {
  return std::string(s.what) + " (" + s.file + ":" + std::to_string(s.line) + ")";
}

Votes block_barrier(Site site, int predicate) { return machine().barrier(site, predicate); }
Meeting& meet(std::uint32_t mask, const void* value, std::size_t bytes, Site site) {
  return machine().meet(mask, value, bytes, site);
}
void leave(Meeting& m) { machine().leave(m); }
void* shared_variable(const void* key, std::size_t bytes, std::size_t align, const char* name) {
  return machine().shared_variable(key, bytes, align, name);
}
void* dynamic_shared() { return machine().dynamic_shared(); }
void thread_fence() { race::fence(); }

void copy_async(void* to, const void* from, std::size_t bytes, Site site) {
  if ((reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % bytes)
    fail(to_string(site) + ": an address is not aligned to " + std::to_string(bytes) + " bytes");
  [[maybe_unused]] const volatile char readable = *static_cast<const char*>(from);
  race::touched(to, bytes, true);
  race::made_uninitialised(to, bytes);  // the write may land at any time from now on
  std::memset(to, std::to_integer<int>(poison), bytes);
  machine().current().open.push_back({to, from, bytes});
}
void copy_async_commit() {
  Thread& t = machine().current();
  t.groups.push_back(std::exchange(t.open, {}));
}
void copy_async_wait(std::size_t groups_left) {
  Thread& t = machine().current();
  for (; t.groups.size() > groups_left; t.groups.pop_front())
    for (const AsyncCopy& c : t.groups.front()) {
      race::touched(c.from, c.bytes, false);
      race::touched(c.to, c.bytes, true);
      std::memcpy(c.to, c.from, c.bytes);
    }
}

}  // namespace duel::on_host
