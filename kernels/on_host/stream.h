// Device memory and the order of execution, as a GPU has them: nothing runs before the host waits for it, and device
// memory cannot be touched from the host.
//
// Launches, fills and copies are queued; synchronize() runs them in order. Between synchronisations the ranges of
// device memory are inaccessible, so host code that follows a device pointer crashes at that line, and a missing
// synchronisation shows as old values.
#pragma once
#include <cstddef>
#include <functional>

namespace duel::on_host {

// A range of addresses for device memory; commit() makes a part usable (as NaN). Addresses are never handed out twice
// while the range exists.
void* reserve(std::size_t bytes);
void commit(void* base, std::size_t bytes);  // the first `bytes` of the range from now on
void release(void* base);

// A block of device memory begins (a fresh one as NaN) and ends in the order of the stream: what was queued before an
// end may still use the block, what is queued after it may not. One that is not fresh is a range whose blocks a replay
// uses by a plan of its own.
void begin_block(void* block, std::size_t bytes, bool fresh);
void end_block(void* block, std::size_t bytes) noexcept;

// Appends work to the stream.
void enqueue(std::function<void()> work);
void copy_in(void* device, const void* host, std::size_t bytes);   // `host` may be reused at once
void copy_out(void* host, const void* device, std::size_t bytes);  // queued: valid after synchronize()
std::size_t queued();
// Runs everything. Throws what a kernel did wrong; the rest of the queue is dropped then.
void synchronize();

}  // namespace duel::on_host
