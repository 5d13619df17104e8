// The one traversal: in which cell a sample falls, with which weights, and where the Friedel mate is
// stored instead. Reading and adding, values and slopes all walk over `for_taps`.

template <typename T, int TAPS> struct Spline;
template <typename T> struct Spline<T, 2> {  // linear
  static constexpr int first = 0;
  __device__ static void weights(T f, T* w) {
    w[0] = 1 - f;
    w[1] = f;
  }
  __device__ static void slopes(T, T* w) {
    w[0] = -1;
    w[1] = 1;
  }
  __device__ static void curvatures(T, T* w) { w[0] = w[1] = 0; }
};
template <typename T> struct Spline<T, 4> {  // cubic
  static constexpr int first = -1;
  __device__ static void weights(T f, T* w) {
    T g = 1 - f;
    w[0] = g * g * g * T(1.0 / 6);
    w[1] = T(2.0 / 3) - f * f * (1 - T(0.5) * f);
    w[2] = T(2.0 / 3) - g * g * (1 - T(0.5) * g);
    w[3] = f * f * f * T(1.0 / 6);
  }
  __device__ static void slopes(T f, T* w) {
    T g = 1 - f;
    w[0] = T(-0.5) * g * g;
    w[1] = f * (T(1.5) * f - 2);
    w[2] = g * (2 - T(1.5) * g);
    w[3] = T(0.5) * f * f;
  }
  __device__ static void curvatures(T f, T* w) {
    w[0] = 1 - f;
    w[1] = 3 * f - 2;
    w[2] = 1 - 3 * f;
    w[3] = f;
  }
};

// The cell of a sample, in (x, y, z): signed frequencies of its lower corner, and the place in it.
template <typename T> struct Cell {
  int corner[3];
  T fraction[3];
};

__device__ inline int size_of(const Geometry& g, int axis) { return axis == 0 ? g.nx : axis == 1 ? g.ny : g.nz; }

// The cell of p, or of its mate -p. Along an axis of a single frequency the spectrum is constant.
template <typename T> __device__ inline Cell<T> cell_of(const Geometry& g, const double p[3], bool mate) {
  Cell<T> cell;
  for (int i = 0; i < 3; ++i) {
    double at = size_of(g, i) == 1 ? 0 : mate ? -p[i] : p[i], low = floor(at);
    cell.corner[i] = int(low);
    cell.fraction[i] = T(at - low);
  }
  return cell;
}

// The taps along one axis: signed frequencies, and weights that are zero outside the grid, with their
// derivatives up to an order.
template <typename T, int TAPS, int ORDER> struct Taps {
  int at[TAPS];
  T weight[TAPS], slope[ORDER > 0 ? TAPS : 1], curvature[ORDER > 1 ? TAPS : 1];

  __device__ Taps(int corner, T fraction, int size) {
    Spline<T, TAPS>::weights(fraction, weight);
    if (ORDER > 0) Spline<T, TAPS>::slopes(fraction, slope);
    if (ORDER > 1) Spline<T, TAPS>::curvatures(fraction, curvature);
    for (int t = 0; t < TAPS; ++t) {
      int k = corner + t + Spline<T, TAPS>::first;
      if (size == 1) {  // the first tap reads it, whatever the position
        k = 0;
        weight[t] = t == 0;
        if (ORDER > 0) slope[t] = 0;
        if (ORDER > 1) curvature[t] = 0;
      }
      bool inside = magnitude(k) <= limit_of(size);
      at[t] = inside ? k : 0;
      if (!inside) weight[t] = 0;
      if (ORDER > 0 && !inside) slope[t] = 0;
      if (ORDER > 1 && !inside) curvature[t] = 0;
    }
  }
};

// A tap: where it is stored, whether that is its mate, and the weights along x, y, z with their derivatives.
template <typename T> struct Tap {
  long long at;
  bool ghost;
  T x, y, z, slope_x, slope_y, slope_z, curvature_x, curvature_y, curvature_z;
};

// Call visit(tap) for every tap of a cell.
template <int TAPS, int ORDER, typename T, typename Visit>
__device__ inline void for_taps(const Geometry& g, const Cell<T>& cell, Visit visit) {
  Taps<T, TAPS, ORDER> x(cell.corner[0], cell.fraction[0], g.nx), y(cell.corner[1], cell.fraction[1], g.ny),
      z(cell.corner[2], cell.fraction[2], g.nz);
  int width = half_of(g.nx);
#pragma unroll
  for (int c = 0; c < TAPS; ++c)
#pragma unroll
    for (int b = 0; b < TAPS; ++b) {
      long long row = ((long long)stored(z.at[c], g.nz) * g.ny + stored(y.at[b], g.ny)) * width, mirrored = 0;
      if (TAPS > 2)  // a cubic tap may lie at x = -1: its mate is stored, at -y and -z
        mirrored = ((long long)stored(-z.at[c], g.nz) * g.ny + stored(-y.at[b], g.ny)) * width;
#pragma unroll
      for (int a = 0; a < TAPS; ++a) {
        bool ghost = TAPS > 2 && x.at[a] < 0;
        visit(Tap<T>{ghost ? mirrored - x.at[a] : row + x.at[a], ghost, x.weight[a], y.weight[b], z.weight[c],
                     ORDER > 0 ? x.slope[a] : T(0), ORDER > 0 ? y.slope[b] : T(0), ORDER > 0 ? z.slope[c] : T(0),
                     ORDER > 1 ? x.curvature[a] : T(0), ORDER > 1 ? y.curvature[b] : T(0),
                     ORDER > 1 ? z.curvature[c] : T(0)});
      }
    }
}

// The interpolated value at a sample of a view.
template <int TAPS, typename T>
__device__ inline Complex<T> read(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky) {
  double p[3];
  position(view, kx, ky, p);
  bool mate = p[0] < 0;
  Complex<T> sum = {0, 0};
  for_taps<TAPS, 0>(g, cell_of<T>(g, p, mate), [&](const Tap<T>& tap) {
    Complex<T> value = volume[tap.at];
    add(sum, tap.z * tap.y * tap.x, tap.ghost ? conj(value) : value);
  });
  return mate ? conj(sum) : sum;
}

// The interpolated value, its slopes along x, y and z of the volume, and with order 2 its second derivatives
// xx, xy, xz, yy, yz, zz: 4 or 10 numbers.
template <int TAPS, int ORDER, typename T>
__device__ inline void read_derivatives(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky,
                                        Complex<T>* out) {
  constexpr int count = ORDER > 1 ? 10 : 4;
  double p[3];
  position(view, kx, ky, p);
  bool mate = p[0] < 0;
  for (int i = 0; i < count; ++i) out[i] = {0, 0};
  for_taps<TAPS, ORDER>(g, cell_of<T>(g, p, mate), [&](const Tap<T>& tap) {
    Complex<T> value = volume[tap.at];
    if (tap.ghost) value = conj(value);
    add(out[0], tap.z * tap.y * tap.x, value);
    add(out[1], tap.z * tap.y * tap.slope_x, value);
    add(out[2], tap.z * tap.slope_y * tap.x, value);
    add(out[3], tap.slope_z * tap.y * tap.x, value);
    if constexpr (ORDER > 1) {
      add(out[4], tap.z * tap.y * tap.curvature_x, value);
      add(out[5], tap.z * tap.slope_y * tap.slope_x, value);
      add(out[6], tap.slope_z * tap.y * tap.slope_x, value);
      add(out[7], tap.z * tap.curvature_y * tap.x, value);
      add(out[8], tap.slope_z * tap.slope_y * tap.x, value);
      add(out[9], tap.curvature_z * tap.y * tap.x, value);
    }
  });
  if (mate)  // read at minus the position, conjugated: only the slopes change their sign
    for (int i = 0; i < count; ++i) out[i] = i >= 1 && i <= 3 ? T(-1) * conj(out[i]) : conj(out[i]);
}
