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

// Slices, and their derivatives in the position along x, y and z: three arrays that are `step` apart.
template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    gather_slopes(const Complex<T>* __restrict__ volume, const View* __restrict__ views, double amplitude, Geometry g,
                  long long step, Complex<T>* slices, Complex<T>* slopes) {
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    Complex<T> out[4] = {};
    if (in_band(g, k.kx, k.ky)) {
      read_derivatives<TAPS, 1>(g, volume, views[v], k.kx, k.ky, out);
      Complex<T> turned = phase<T>(views[v], k.kx, k.ky, amplitude);
      for (int j = 0; j < 4; ++j) out[j] = out[j] * turned;
    }
    slices[v * pixels + i] = out[0];
    for (int j = 0; j < 3; ++j) slopes[j * step + v * pixels + i] = out[1 + j];
  }
}

// The same with the second derivatives, six arrays that are as far apart.
template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    gather_curvatures(const Complex<T>* __restrict__ volume, const View* __restrict__ views, double amplitude, Geometry g,
                      long long step, Complex<T>* slices, Complex<T>* slopes, Complex<T>* curvatures) {
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    Complex<T> out[10] = {};
    if (in_band(g, k.kx, k.ky)) {
      read_derivatives<TAPS, 2>(g, volume, views[v], k.kx, k.ky, out);
      Complex<T> turned = phase<T>(views[v], k.kx, k.ky, amplitude);
      for (int j = 0; j < 10; ++j) out[j] = out[j] * turned;
    }
    slices[v * pixels + i] = out[0];
    for (int j = 0; j < 3; ++j) slopes[j * step + v * pixels + i] = out[1 + j];
    for (int j = 0; j < 6; ++j) curvatures[j * step + v * pixels + i] = out[4 + j];
  }
}
