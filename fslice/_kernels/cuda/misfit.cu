// Chi-squared of each view and its gradients, a block for each view. The gradient in the volume is left
// to `scatter_bricks`: `residual` takes what it adds, weighted and with the phase taken off.

// What a sample of a view and its image differ by.
template <typename T> struct Residual {
  Complex<T> phase, slice, difference;
  T ctf, weight;
  __device__ Residual(const Geometry& g, const Filters<T>& filters, const View& view, const Complex<T>* images,
                      double amplitude, int kx, int ky, Complex<T> read)
      : phase(::phase<T>(view, kx, ky, amplitude)), slice(read * phase),
        ctf(filters.ctf_at(g, view.image, kx, ky)), weight(filters.weight_at(g, view.image, kx, ky)) {
    difference = ctf * slice;
    if (!images) return;  // images of zeros
    Complex<T> image = images[view.image * pixels_of(g) + place_of(g, kx, ky)];
    difference = {difference.re - image.re, difference.im - image.im};
  }
  __device__ double square() const {
    return double(weight) * (double(difference.re) * difference.re + double(difference.im) * difference.im);
  }
};

template <typename T, int TAPS, bool POSES>
__global__ void __launch_bounds__(256)
    misfit(const Complex<T>* __restrict__ volume, const Complex<T>* __restrict__ images, const T* __restrict__ ctf,
           const double* __restrict__ coefficients, const T* __restrict__ weights,
           const long long* __restrict__ group_of, const View* __restrict__ views, double amplitude, Geometry g,
           Complex<T>* residual, double* losses, double* grad_rotations, double* grad_shifts, T* grad_ctf) {
  constexpr int SUMS = POSES ? 1 + POSE_SUMS : 1;
  __shared__ double shared[SUMS][WARPS];
  const Filters<T> filters = {ctf, coefficients, weights, group_of};
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  const View& view = views[v];
  const T view_weight = T(view.weight);
  double sums[SUMS] = {};
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    Pixel k(g, i);
    T by_ctf = 0;
    if (in_band(g, k.kx, k.ky)) {
      Complex<T> values[4];
      if (POSES)
        read_derivatives<TAPS, 1>(g, volume, view, k.kx, k.ky, values);
      else
        values[0] = read<TAPS>(g, volume, view, k.kx, k.ky);
      const Residual<T> own(g, filters, view, images, amplitude, k.kx, k.ky, values[0]);
      sums[0] += pair_weight(k.kx) * own.square();
      Complex<T> weighted = view_weight * own.weight * own.difference;
      by_ctf = weighted.re * own.slice.re + weighted.im * own.slice.im;
      Complex<T> added = own.ctf * weighted * conj(own.phase);
      residual[v * pixels + i] = added;
      if (POSES) add_pose_gradient(g, added, values, k.kx, k.ky, sums + 1);
    }
    if (POSES && grad_ctf) grad_ctf[v * pixels + i] = by_ctf;
  }
  double sum = block_sum(sums, shared);
  if (threadIdx.x == 0) losses[v] = sum;
  if (POSES && threadIdx.x > 0 && threadIdx.x < SUMS)
    write_pose_gradient(threadIdx.x - 1, sum, grad_rotations + 9 * v, grad_shifts + 2 * v);
}
