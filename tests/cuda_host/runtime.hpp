// CUDA's words on the CPU: the kernels' source is compiled by g++ as it is, behind this file.
//
// A block runs on one thread of the system, each of its CUDA threads on a stack of its own (a fiber).
// A fiber runs until a barrier, so that barriers and warp operations mean what they mean on a GPU: a
// missing one is seen in the numbers of some order of threads, and one that not all threads reach is
// an error. Nothing else is synchronised, and the order of threads and blocks is the caller's.
#include <atomic>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define MACHINERY __attribute__((no_sanitize("thread")))  // is told of barriers by hand
#else
#define MACHINERY
#endif

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
static thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {

enum class State { ready, at_block, at_warp, finished };
constexpr size_t STACK = 256 << 10;
constexpr unsigned MOST = 1024, WARP = 32;

struct Fiber {
  State state;
  bool entered;
  jmp_buf left;  // where it waits
  ucontext_t start;
  dim3 index;
  unsigned block_turn, warp_turn;
  void* sanitizer;
};

struct Scheduler {
  std::vector<Fiber> fibers{MOST};
  char* stacks = nullptr;
  jmp_buf back;
  ucontext_t caller;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  unsigned count = 0, current = 0;
  uint64_t exchange[2][MOST];
  char block_keys[2], warp_keys[2][MOST / WARP];  // what the thread sanitizer knows barriers by
  void* sanitizer = nullptr;
};
static thread_local Scheduler own;

// What is wrong with the launch of this thread. The sanitizer calls the function of whichever library was loaded first:
// all libraries have to share what it writes to, and inline variables are one object for all.
inline std::mutex failures_lock;
inline std::unordered_map<std::thread::id, std::string> failures;
inline std::string& failure_of_this_thread() {
  std::lock_guard<std::mutex> hold(failures_lock);
  return failures[std::this_thread::get_id()];
}
static thread_local std::string& failure = failure_of_this_thread();

MACHINERY inline void fail(const std::string& what) {
  if (!failure.empty()) return;
  char place[120];
  std::snprintf(place, sizeof place, " (block %u, %u, %u)", blockIdx.x, blockIdx.y, blockIdx.z);
  failure = what + place;
}

// A pseudo-random order of n numbers: 0 ascending, 1 descending, else by the seed and the round.
inline std::vector<unsigned> order_of(unsigned n, unsigned order, unsigned round) {
  std::vector<unsigned> numbers(n);
  for (unsigned i = 0; i < n; ++i) numbers[i] = order == 1 ? n - 1 - i : i;
  uint64_t state = (uint64_t(order) << 32 | round) * 0x9e3779b97f4a7c15ull + 1;
  for (unsigned i = n; order > 1 && i > 1; --i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    std::swap(numbers[i - 1], numbers[(state >> 33) % i]);
  }
  return numbers;
}

MACHINERY inline void leave(bool last) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(own.sanitizer, 1);  // 1: a switch orders nothing, only barriers do
#endif
  if (last) _longjmp(own.back, 1);
  if (_setjmp(own.fibers[own.current].left) == 0) _longjmp(own.back, 1);
}

MACHINERY inline void enter() {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(&own.body);
#endif
  own.body(own.argument);
#if defined(__SANITIZE_THREAD__)
  __tsan_release(&own.count);
#endif
  own.fibers[own.current].state = State::finished;
  leave(true);
}

MACHINERY inline void resume(unsigned t) {
  Fiber& fiber = own.fibers[t];
  own.current = t;
  threadIdx = fiber.index;
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(fiber.sanitizer, 1);
#endif
  if (_setjmp(own.back) != 0) return;
  if (fiber.entered) _longjmp(fiber.left, 1);
  fiber.entered = true;
  setcontext(&fiber.start);
}

MACHINERY inline void prepare(unsigned t) {
  Fiber& fiber = own.fibers[t];
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = own.stacks + t * STACK;
  fiber.start.uc_stack.ss_size = STACK;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, enter, 0);
  fiber.state = State::ready;
  fiber.entered = false;
  fiber.block_turn = fiber.warp_turn = 0;
  fiber.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
#if defined(__SANITIZE_THREAD__)
  fiber.sanitizer = __tsan_create_fiber(0);
#endif
}

// Lets those go on whose barrier all have reached; returns whether there were any.
MACHINERY inline bool release() {
  bool any = false;
  unsigned waiting = 0;
  for (unsigned t = 0; t < own.count; ++t) waiting += own.fibers[t].state == State::at_block;
  for (unsigned t = 0; waiting == own.count && t < own.count; ++t) own.fibers[t].state = State::ready, any = true;
  for (unsigned first = 0; first < own.count; first += WARP) {
    unsigned last = first + WARP < own.count ? first + WARP : own.count, here = 0;
    for (unsigned t = first; t < last; ++t) here += own.fibers[t].state == State::at_warp;
    for (unsigned t = first; here == last - first && t < last; ++t) own.fibers[t].state = State::ready, any = true;
  }
  return any;
}

MACHINERY inline void run_block(unsigned order) {
  if (!own.stacks)
    own.stacks = static_cast<char*>(mmap(nullptr, MOST * STACK, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  own.count = blockDim.x * blockDim.y * blockDim.z;
#if defined(__SANITIZE_THREAD__)
  own.sanitizer = __tsan_get_current_fiber();
  __tsan_release(&own.body);
#endif
  for (unsigned t = 0; t < own.count; ++t) prepare(t);
  unsigned finished = 0;
  for (unsigned round = 0; failure.empty(); ++round) {
    for (unsigned t : order_of(own.count, order, round))
      if (own.fibers[t].state == State::ready) resume(t);
    finished = 0;
    for (unsigned t = 0; t < own.count; ++t) finished += own.fibers[t].state == State::finished;
    if (finished == own.count) break;
    if (!release()) fail("threads wait at a barrier that others never reach");
  }
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(&own.count);
  for (unsigned t = 0; t < own.count; ++t) __tsan_destroy_fiber(own.fibers[t].sanitizer);
#endif
}

// Waits for the block or for the warp. Some are at the next barrier before others have left this one,
// so that two keys take turns. Shuffles and ballots order no memory: `orders` is false for them.
MACHINERY inline void wait(State state, [[maybe_unused]] bool orders) {
  Fiber& fiber = own.fibers[own.current];
#if defined(__SANITIZE_THREAD__)
  char* key = state == State::at_block ? own.block_keys + (fiber.block_turn++ & 1)
                                       : &own.warp_keys[fiber.warp_turn & 1][own.current / WARP];
  if (orders) __tsan_release(key);
#endif
  fiber.state = state;
  leave(false);
#if defined(__SANITIZE_THREAD__)
  if (orders) __tsan_acquire(key);
#endif
}

// Gives every lane's value to the others of its warp; returns the warp's values.
template <typename T> MACHINERY const uint64_t* exchanged(unsigned mask, T value, bool orders = false) {
  static_assert(sizeof(T) <= 8, "warp operations move 4 or 8 bytes");
  if (mask != 0xffffffffu) fail("a warp operation of some lanes only, which this file does not know");
  unsigned turn = own.fibers[own.current].warp_turn & 1;
  std::memcpy(&own.exchange[turn][own.current], &value, sizeof(T));
  wait(State::at_warp, orders);
  ++own.fibers[own.current].warp_turn;
  return &own.exchange[turn][own.current / WARP * WARP];
}
template <typename T> MACHINERY T lane_value(const uint64_t* values, int lane) {
  T value;
  std::memcpy(&value, &values[lane], sizeof(T));
  return value;
}
inline int lane() { return int(own.current % WARP); }

template <typename... A, size_t... I>
void launch(void (*kernel)(A...), unsigned order, void** arguments, std::index_sequence<I...>) {
  std::tuple<A...> values{*static_cast<std::remove_reference_t<A>*>(arguments[I])...};
  auto call = [&] { kernel(std::get<I>(values)...); };
  own.body = [](void* c) { (*static_cast<decltype(call)*>(c))(); };
  own.argument = &call;
  for (unsigned b : order_of(gridDim.x * gridDim.y * gridDim.z, order, 0)) {
    blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
    run_block(order);
    if (!failure.empty()) return;
  }
}

// shape: grid (3), block (3), order. Returns nothing but a message in `failure`.
template <typename... A>
void checked(void (*kernel)(A...), const unsigned* shape, int count, const size_t* sizes, void** arguments) {
  const size_t expected[] = {sizeof(A)...};
  if (count != int(sizeof...(A))) return fail("expected " + std::to_string(sizeof...(A)) + " arguments");
  for (int i = 0; i < count; ++i)
    if (sizes[i] != expected[i])
      return fail("argument " + std::to_string(i) + " has " + std::to_string(sizes[i]) + " bytes, expected " +
                  std::to_string(expected[i]));
  gridDim = {shape[0], shape[1], shape[2]};
  blockDim = {shape[3], shape[4], shape[5]};
  if (blockDim.x * blockDim.y * blockDim.z > MOST) return fail("more than 1024 threads in a block");
  launch(kernel, shape[6], arguments, std::index_sequence_for<A...>{});
}

}  // namespace host

#if defined(UNDEFINED)  // the sanitizer calls this for each finding
extern "C" void __ubsan_get_current_report_data(const char**, const char**, const char**, unsigned*, unsigned*, char**);
extern "C" __attribute__((visibility("default"))) void __ubsan_on_report() {
  const char *kind, *message, *file;
  unsigned line, column;
  char* address;
  __ubsan_get_current_report_data(&kind, &message, &file, &line, &column, &address);
  host::fail(std::string(message) + " in " + file + ":" + std::to_string(line));
}
#endif

inline void __syncthreads() { host::wait(host::State::at_block, true); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { host::exchanged(mask, 0, true); }
template <typename T> T __shfl_sync(unsigned mask, T value, int lane) {
  return host::lane_value<T>(host::exchanged(mask, value), lane & 31);
}
template <typename T> T __shfl_down_sync(unsigned mask, T value, int delta) {
  int lane = host::lane() + delta;
  return host::lane_value<T>(host::exchanged(mask, value), lane < 32 ? lane : host::lane());
}
template <typename T> T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return host::lane_value<T>(host::exchanged(mask, value), host::lane() ^ bits);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const uint64_t* values = host::exchanged(mask, int(predicate != 0));
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= unsigned(host::lane_value<int>(values, i)) << i;
  return bits;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
template <typename T> unsigned __match_any_sync(unsigned mask, T value) {
  const uint64_t* values = host::exchanged(mask, value);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= unsigned(host::lane_value<T>(values, i) == value) << i;
  return bits;
}
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(uint64_t(x) * y >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
template <typename T> T atomicAdd(T* sum, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*sum).fetch_add(value, std::memory_order_relaxed);
}
inline float __fdividef(float x, float y) { return x / y; }
inline void sincospi(double x, double* s, double* c) { *s = std::sin(M_PI * x), *c = std::cos(M_PI * x); }
inline void sincospif(float x, float* s, float* c) {
  *s = float(std::sin(M_PI * double(x))), *c = float(std::cos(M_PI * double(x)));
}
