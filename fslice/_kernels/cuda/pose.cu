// Gradients and curvature of slices in the pose, a block for each view.

// The gradients of `gather` in rotations and shifts, for cotangents of its slices.
template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    pose_gradients(const Complex<T>* __restrict__ volume, const Complex<T>* __restrict__ cotangents,
                   const View* __restrict__ views, double amplitude, Geometry g, double* grad_rotations,
                   double* grad_shifts) {
  __shared__ double shared[POSE_SUMS][WARPS];
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  double sums[POSE_SUMS] = {};
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    Pixel k(g, i);
    if (!in_band(g, k.kx, k.ky)) continue;
    Complex<T> values[4];
    read_derivatives<TAPS, 1>(g, volume, views[v], k.kx, k.ky, values);
    Complex<T> h = cotangents[v * pixels + i] * conj(phase<T>(views[v], k.kx, k.ky, amplitude));
    add_pose_gradient(g, h, values, k.kx, k.ky, sums);
  }
  double sum = block_sum(sums, shared);
  if (threadIdx.x < POSE_SUMS) write_pose_gradient(threadIdx.x, sum, grad_rotations + 9 * v, grad_shifts + 2 * v);
}

// The slopes of a sample of ctf * slice along the axes of the image.
template <typename T>
__device__ inline void image_slopes(const View& view, const Residual<T>& residual, const Complex<T>* read,
                                    Complex<T> out[3]) {
  Complex<T> turned = residual.ctf * residual.phase;
  for (int column = 0; column < 3; ++column) {
    out[column] = {0, 0};
    for (int axis = 0; axis < 3; ++axis) add(out[column], T(column < 2 ? view.axes[axis][column] : view.beam[axis]), read[1 + axis]);
    out[column] = out[column] * turned;
  }
}

// The derivatives of a sample in w of R exp([w]x) and in the shift (x, y), then the residual. A turn by w
// moves the sample at k by w x k, along the axes of the image.
template <typename T>
__device__ inline void pose_derivatives(const Geometry& g, const Residual<T>& residual, const Complex<T> along[3],
                                        int kx, int ky, Complex<T> out[6]) {
  Complex<T> slice = residual.ctf * residual.slice;
  T x = T(kx), y = T(ky), turn_x = T(TURN * kx * g.per_column), turn_y = T(TURN * ky * g.per_row);
  out[0] = y * along[2];
  out[1] = -x * along[2];
  out[2] = {x * along[1].re - y * along[0].re, x * along[1].im - y * along[0].im};
  out[3] = {turn_x * slice.im, -turn_x * slice.re};
  out[4] = {turn_y * slice.im, -turn_y * slice.re};
  out[5] = residual.difference;
}

constexpr int GRAM_SUMS = 21;  // the upper triangle of 6 x 6, row by row

// Adds the products of the six factors, the upper triangle.
template <typename T> __device__ inline void add_products(double weight, const Complex<T> factors[6], double* sums) {
#pragma unroll
  for (int a = 0; a < 6; ++a)
#pragma unroll
    for (int b = a; b < 6; ++b)
      *sums++ += weight * (double(factors[a].re) * factors[b].re + double(factors[a].im) * factors[b].im);
}

// Writes a sum, that of thread `number`, to both of its entries of a symmetric N x N matrix.
template <int N> __device__ inline void write_symmetric(int number, double sum, double* matrix) {
  int a = 0, b = number;
  for (; b >= N - a; ++a) b -= N - a;
  matrix[N * a + a + b] = matrix[N * (a + b) + a] = sum;
}

template <typename T, int TAPS>
__global__ void __launch_bounds__(256)
    pose_gram(const Complex<T>* __restrict__ volume, const Complex<T>* __restrict__ images, const T* __restrict__ ctf,
              const double* __restrict__ coefficients, const T* __restrict__ weights,
              const long long* __restrict__ group_of, const View* __restrict__ views, double amplitude, Geometry g,
              double* gram) {
  __shared__ double shared[GRAM_SUMS][WARPS];
  const Filters<T> filters = {ctf, coefficients, weights, group_of};
  int pixels = pixels_of(g);
  long long v = blockIdx.x;
  const View& view = views[v];
  double sums[GRAM_SUMS] = {};
  for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
    Pixel k(g, i);
    if (!in_band(g, k.kx, k.ky)) continue;
    Complex<T> values[4], along[3], factors[6];
    read_derivatives<TAPS, 1>(g, volume, view, k.kx, k.ky, values);
    const Residual<T> own(g, filters, view, images, amplitude, k.kx, k.ky, values[0]);
    image_slopes(view, own, values, along);
    pose_derivatives(g, own, along, k.kx, k.ky, factors);
    add_products(pair_weight(k.kx) * double(own.weight), factors, sums);
  }
  double sum = block_sum(sums, shared);
  if (threadIdx.x < GRAM_SUMS) write_symmetric<6>(threadIdx.x, sum, gram + 36 * v);
}
