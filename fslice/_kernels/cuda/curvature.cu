// The curvature of chi-squared in the pose, a block for each view: the products of Gauss and Newton, and what
// the residual adds to them, from one reading of the volume.

constexpr int SECOND_SUMS = 15;  // the upper triangle of 5 x 5, row by row

// Re(h * the Hessian of the volume) at a sample; it acts on vectors of the volume.
template <typename T> struct Bending {
  T xx, xy, xz, yy, yz, zz;
  __device__ Bending(Complex<T> h, const Complex<T> read[10])
      : xx(real_of(h, read[4])), xy(real_of(h, read[5])), xz(real_of(h, read[6])), yy(real_of(h, read[7])),
        yz(real_of(h, read[8])), zz(real_of(h, read[9])) {}
  __device__ static T real_of(Complex<T> a, Complex<T> b) { return a.re * b.re - a.im * b.im; }
  __device__ T between(const T a[3], const T b[3]) const {
    return a[0] * (xx * b[0] + xy * b[1] + xz * b[2]) + a[1] * (xy * b[0] + yy * b[1] + yz * b[2]) +
           a[2] * (xz * b[0] + yz * b[1] + zz * b[2]);
  }
};

// Adds Re(conj(residual) * b) for the second derivatives b of ctf * slice in w of R exp([w]x) and in the shift.
// A turn moves the sample at k to k + w x k + w x (w x k) / 2: n along the beam, e within the plane.
template <typename T>
__device__ inline void add_second_derivatives(const Geometry& g, const View& view, const Residual<T>& residual,
                                              double weight, const Complex<T> read[10], const Complex<T> along[3],
                                              const Complex<T> factors[6], int kx, int ky, double* sums) {
  Complex<T> h = conj(residual.difference);
  const Bending<T> bending(h * (residual.ctf * residual.phase), read);
  T n[3], e[3], slope[3], turned[5], x = T(kx), y = T(ky);
  for (int i = 0; i < 3; ++i) {
    n[i] = T(view.beam[i]);
    e[i] = T(view.axes[i][1] * kx - view.axes[i][0] * ky);
    slope[i] = h.re * along[i].re - h.im * along[i].im;
  }
  for (int i = 0; i < 5; ++i) turned[i] = h.re * factors[i].im + h.im * factors[i].re;
  T beam = bending.between(n, n), across = bending.between(e, n), within = bending.between(e, e);
  T turn_x = T(TURN * kx * g.per_column), turn_y = T(TURN * ky * g.per_row);
  const T second[SECOND_SUMS] = {
      y * y * beam - y * slope[1], T(0.5) * (y * slope[0] + x * slope[1]) - x * y * beam,
      y * across + T(0.5) * x * slope[2], turn_x * turned[0], turn_y * turned[0],
      x * x * beam - x * slope[0], T(0.5) * y * slope[2] - x * across, turn_x * turned[1], turn_y * turned[1],
      within - x * slope[0] - y * slope[1], turn_x * turned[2], turn_y * turned[2],
      turn_x * turned[3], turn_y * turned[3], turn_y * turned[4]};
#pragma unroll
  for (int i = 0; i < SECOND_SUMS; ++i) sums[i] += weight * double(second[i]);
}

template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    pose_curvature(const Complex<T>* __restrict__ volume, const Complex<T>* __restrict__ images,
                   const T* __restrict__ ctf, const double* __restrict__ coefficients, const T* __restrict__ weights,
                   const long long* __restrict__ group_of, const View* __restrict__ views, double amplitude,
                   Geometry g, double* gram, double* curvature) {
  __shared__ double shared[GRAM_SUMS + SECOND_SUMS][WARPS];
  const Filters<T> filters = {ctf, coefficients, weights, group_of};
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  const View& view = views[v];
  double sums[GRAM_SUMS + SECOND_SUMS] = {};
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    Pixel k(g, i);
    if (!in_band(g, k.kx, k.ky)) continue;
    Complex<T> values[10], along[3], factors[6];
    read_derivatives<TAPS, 2>(g, volume, view, k.kx, k.ky, values);
    const Residual<T> own(g, filters, view, images, amplitude, k.kx, k.ky, values[0]);
    double weight = pair_weight(k.kx) * double(own.weight);
    image_slopes(view, own, values, along);
    pose_derivatives(g, own, along, k.kx, k.ky, factors);
    add_products(weight, factors, sums);
    add_second_derivatives(g, view, own, weight, values, along, factors, k.kx, k.ky, sums + GRAM_SUMS);
  }
  double sum = block_sum(sums, shared);
  int number = threadIdx.x;
  if (number < GRAM_SUMS)
    write_symmetric<6>(number, sum, gram + 36 * v);
  else if (number < GRAM_SUMS + SECOND_SUMS)
    write_symmetric<5>(number - GRAM_SUMS, sum, curvature + 25 * v);
}
