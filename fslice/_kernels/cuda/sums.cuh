// Sums over a block in a fixed order: by shuffles within its warps, then warp after warp.

constexpr int WARPS = 8;  // blocks that sum have 256 threads

// Returns sum i of N to thread i.
template <int N> __device__ inline double block_sum(double (&sums)[N], double (*shared)[WARPS]) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    for (int step = 16; step > 0; step /= 2) sums[i] += __shfl_down_sync(0xffffffffu, sums[i], step);
    if (lane == 0) shared[i][warp] = sums[i];
  }
  __syncthreads();
  double total = 0;
  if (threadIdx.x < N)
    for (int w = 0; w < WARPS; ++w) total += shared[threadIdx.x][w];
  return total;
}
