// Slices of a volume, blocks (v, ...) for view v, a thread for each stored pixel. Neighbours along a row read neighbouring cells,
// so that the lines of the cache serve a warp; textures would need a copy of the volume in each call.

template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    gather(const Complex<T>* __restrict__ volume, const View* __restrict__ views, double amplitude, Geometry g,
           Complex<T>* slices) {
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    Complex<T> value = {0, 0};
    if (in_band(g, k.kx, k.ky))
      value = read<TAPS>(g, volume, views[v], k.kx, k.ky) * phase<T>(views[v], k.kx, k.ky, amplitude);
    slices[v * pixels + i] = value;
  }
}

// Slices and their derivatives in the position, as `read_derivatives` gives them: arrays that are `step`
// apart, the slices apart from the slopes and these from the second derivatives.
template <int TAPS, int ORDER, typename T>
__device__ inline void write_derivatives(const Complex<T>* volume, const View& view, double amplitude, const Geometry& g,
                                         long long step, Complex<T>* slices, Complex<T>* slopes, Complex<T>* curves) {
  int pixels = pixels_of(g);
  long long first = (long long)blockIdx.x * pixels;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    Complex<T> out[derivatives_of(ORDER)] = {};
    if (in_band(g, k.kx, k.ky)) {
      read_derivatives<TAPS, ORDER>(g, volume, view, k.kx, k.ky, out);
      Complex<T> turned = phase<T>(view, k.kx, k.ky, amplitude);
      for (int j = 0; j < derivatives_of(ORDER); ++j) out[j] = out[j] * turned;
    }
    slices[first + i] = out[0];
    for (int j = 0; j < 3; ++j) slopes[j * step + first + i] = out[1 + j];
    for (int j = 4; j < derivatives_of(ORDER); ++j) curves[(j - 4) * step + first + i] = out[j];
  }
}

template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    gather_slopes(const Complex<T>* __restrict__ volume, const View* __restrict__ views, double amplitude, Geometry g,
                  long long step, Complex<T>* slices, Complex<T>* slopes) {
  write_derivatives<TAPS, 1, T>(volume, views[blockIdx.x], amplitude, g, step, slices, slopes, nullptr);
}

template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    gather_curvatures(const Complex<T>* __restrict__ volume, const View* __restrict__ views, double amplitude,
                      Geometry g, long long step, Complex<T>* slices, Complex<T>* slopes, Complex<T>* curves) {
  write_derivatives<TAPS, 2>(volume, views[blockIdx.x], amplitude, g, step, slices, slopes, curves);
}
