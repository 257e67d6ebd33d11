// What the executor tells the race checker. Without DUEL_RACE these are nothing.
#pragma once
#include <cstddef>
#include <cstdint>

namespace duel::on_host::race {

#ifdef DUEL_RACE
void launch_begins();
void block_begins(std::byte* shared, std::size_t capacity, std::size_t dynamic_bytes);
void block_met();              // all threads of the block have reached a barrier
void warp_met(unsigned warp);  // all lanes of a mask have met
void fence();                  // __threadfence() by the thread that runs
void shared_begins(const void* p, std::size_t bytes);
void made_uninitialised(const void* p, std::size_t bytes);
void touched(const void* p, std::size_t bytes, bool write);  // by the runtime for the thread that runs
void global_begins(const void* p, std::size_t bytes);
void global_ends(const void* p);
void global_forgets(const void* p, std::size_t bytes);  // a range whose blocks come and go unseen: it is not watched
#else
inline void launch_begins() {}
inline void block_begins(std::byte*, std::size_t, std::size_t) {}
inline void block_met() {}
inline void warp_met(unsigned) {}
inline void fence() {}
inline void shared_begins(const void*, std::size_t) {}
inline void made_uninitialised(const void*, std::size_t) {}
inline void touched(const void*, std::size_t, bool) {}
inline void global_begins(const void*, std::size_t) {}
inline void global_ends(const void*) {}
inline void global_forgets(const void*, std::size_t) {}
#endif

}  // namespace duel::on_host::race
