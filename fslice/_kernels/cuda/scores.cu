// The best of many scores: over shifts, and over rotations that are apart.

// Blocks (n, ...) for image n, a thread for each rotation: neighbours read neighbouring scores.
template <typename T>
__global__ void __launch_bounds__(256)
    best_over_shifts(const T* __restrict__ cross, const T* __restrict__ norm, const T* __restrict__ log_prior,
                     int shifts, int rotations, T* best, int* shift) {
  long long n = blockIdx.x;
  for (int g = blockIdx.y * blockDim.x + threadIdx.x; g < rotations; g += gridDim.y * blockDim.x) {
    const T* own = cross + n * shifts * rotations + g;
    T top = own[0] + log_prior[0];
    int place = 0;
    for (int t = 1; t < shifts; ++t) {
      T score = own[(long long)t * rotations] + log_prior[t];
      if (score > top) top = score, place = t;
    }
    best[n * rotations + g] = top - norm[n * rotations + g];
    shift[n * rotations + g] = place;
  }
}

// A score and the rotation that has it, -1 for none.
template <typename T> struct Peak {
  T score;
  int place;
  // Of equal scores the first: what is found does not depend on the order of threads.
  __device__ void keep_better(T other, int where) {
    if (where < 0 || (place >= 0 && (other < score || (other == score && where > place)))) return;
    score = other, place = where;
  }
};

// Returns the best of a block to all of its threads.
template <typename T> __device__ inline Peak<T> block_best(Peak<T> own, Peak<T>* of_warps) {
  for (int step = 16; step > 0; step /= 2) {
    T score = __shfl_down_sync(0xffffffffu, own.score, step);
    int place = __shfl_down_sync(0xffffffffu, own.place, step);
    own.keep_better(score, place);
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = own;
  __syncthreads();
  Peak<T> best = of_warps[0];
  for (int w = 1; w < WARPS; ++w) best.keep_better(of_warps[w].score, of_warps[w].place);
  __syncthreads();  // before `of_warps` is written again
  return best;
}

// Of each image the best rotation, then again and again the best of those that are apart from all before; a
// block for each image. `taken` marks rotations that are near one of these.
template <typename T>
__global__ void __launch_bounds__(256)
    peaks(const T* __restrict__ scores, const double* __restrict__ rotations, double near, double window, int count,
          int most, int* taken, long long* found) {
  __shared__ Peak<T> of_warps[WARPS];
  long long n = blockIdx.x;
  scores += n * count, taken += n * count, found += n * most;
  Peak<T> best = {0, -1};
  for (int g = threadIdx.x; g < count; g += blockDim.x) {
    best.keep_better(scores[g], g);
    taken[g] = 0;
  }
  best = block_best(best, of_warps);
  T floor = best.score - T(window);
  for (int number = 0; number < most; ++number) {
    if (threadIdx.x == 0) found[number] = best.place;
    Peak<T> next = {0, -1};
    for (int g = threadIdx.x; g < count && best.place >= 0; g += blockDim.x) {
      if (taken[g] || !(scores[g] >= floor)) continue;
      double trace = 0;
      for (int i = 0; i < 9; ++i) trace += rotations[9 * best.place + i] * rotations[9 * g + i];
      taken[g] = g == best.place || trace >= near;
      if (!taken[g]) next.keep_better(scores[g], g);
    }
    best = block_best(next, of_warps);
  }
}
