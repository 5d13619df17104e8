// Gradients in the pose, of one sample: by its position (eq. 7) and by its phase (eq. 12).

constexpr double TURN = 6.283185307179586;
constexpr int POSE_SUMS = 8;  // the entries of the rotation's first two columns, row by row, and the shift

// h: the cotangent of the sample, its phase taken off; read: its value and slopes in the volume.
template <typename T>
__device__ inline void add_pose_gradient(const Geometry& g, Complex<T> h, const Complex<T> read[4], int kx, int ky,
                                         double* sums) {
  double pair = pair_weight(kx);
  for (int axis = 0; axis < 3; ++axis) {
    Complex<T> slope = read[1 + axis];
    double rate = pair * g.scale * (double(h.re) * slope.re + double(h.im) * slope.im);
    sums[2 * axis] += rate * kx;
    sums[2 * axis + 1] += rate * ky;
  }
  double turned = pair * TURN * (double(h.re) * read[0].im - double(h.im) * read[0].re);
  sums[6] += turned * kx * g.per_column;
  sums[7] += turned * ky * g.per_row;
}

// Writes a sum, that of thread `number`, to its entry of the 3 x 3 matrix or of the shift. The third
// column of the matrix is zero: samples lie in the plane of the first two.
__device__ inline void write_pose_gradient(int number, double sum, double* grad_rotation, double* grad_shift) {
  if (number < 6) grad_rotation[number / 2 * 3 + number % 2] = sum;
  if (number == 6 || number == 7) grad_shift[number - 6] = sum;
  if (number < 3) grad_rotation[number * 3 + 2] = 0;
}
