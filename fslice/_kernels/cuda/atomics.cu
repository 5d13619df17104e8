// Slices added into a volume by atomic operations, a thread for each stored pixel. The order of a sum is
// that in which the card happens to run: equal input gives equal numbers but for rounding.

template <typename T> __device__ inline void add_atomically(T* sum, T value) { atomicAdd(sum, value); }
template <typename T> __device__ inline void add_atomically(Complex<T>* sum, Complex<T> value) {
  atomicAdd(&sum->re, value.re);
  atomicAdd(&sum->im, value.im);
}

// The mates of the plane x = 0 are still to be added.
template <typename T, int TAPS, int POWER, bool READY>
__global__ void __launch_bounds__(256)
    scatter_atomic(const Element<T, POWER>* __restrict__ values, const View* __restrict__ views, double amplitude,
                   Geometry g, Element<T, POWER>* volume) {
  int pixels = pixels_of(g);
  const View& view = views[blockIdx.x];
  const Values<T, POWER, READY> own(g, values, view, blockIdx.x, amplitude);
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    if (!in_band(g, k.kx, k.ky)) continue;
    double p[3];
    position(view, k.kx, k.ky, p);
    bool mate = p[0] < 0;
    auto value = (k.kx == 0 ? T(0.5) : T(1)) * own.added(own.slice[i], k.kx, k.ky);
    if (mate) value = conj(value);
    const Rows<T, TAPS, 0> rows(g, cell_of<T>(g, p, mate));
    for (int c = 0; c < TAPS; ++c)
      for (int b = 0; b < TAPS; ++b)
        rows.for_row(g, b, c, [&](int a, long long at, bool ghost) {
          T weight = rows.z.weight[c] * rows.y.weight[b] * rows.x.weight[a];
          if (POWER == 2) weight *= weight;
          if (weight != 0) add_atomically(volume + at, weight * (ghost ? conj(value) : value));
        });
  }
}
