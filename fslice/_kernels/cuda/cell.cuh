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
  __device__ static void curves(T, T* w) { w[0] = w[1] = 0; }
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
  __device__ static void curves(T f, T* w) {
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
  T weight[TAPS], slope[ORDER > 0 ? TAPS : 1], curve[ORDER > 1 ? TAPS : 1];

  __device__ Taps(int corner, T fraction, int size) {
    Spline<T, TAPS>::weights(fraction, weight);
    if (ORDER > 0) Spline<T, TAPS>::slopes(fraction, slope);
    if (ORDER > 1) Spline<T, TAPS>::curves(fraction, curve);
    for (int t = 0; t < TAPS; ++t) {
      int k = corner + t + Spline<T, TAPS>::first;
      if (size == 1) {  // the first tap reads it, whatever the position
        k = 0;
        weight[t] = t == 0;
        if (ORDER > 0) slope[t] = 0;
        if (ORDER > 1) curve[t] = 0;
      }
      bool inside = magnitude(k) <= limit_of(size);
      at[t] = inside ? k : 0;
      if (!inside) weight[t] = 0;
      if (ORDER > 0 && !inside) slope[t] = 0;
      if (ORDER > 1 && !inside) curve[t] = 0;
    }
  }
};

// A tap: where it is stored, whether that is its mate, and the weights along x, y, z, with derivatives.
template <typename T> struct Tap {
  long long at;
  bool ghost;
  T x, y, z, slope_x = 0, slope_y = 0, slope_z = 0, curve_x = 0, curve_y = 0, curve_z = 0;
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
        Tap<T> tap = {ghost ? mirrored - x.at[a] : row + x.at[a], ghost, x.weight[a], y.weight[b], z.weight[c]};
        if (ORDER > 0) tap.slope_x = x.slope[a], tap.slope_y = y.slope[b], tap.slope_z = z.slope[c];
        if (ORDER > 1) tap.curve_x = x.curve[a], tap.curve_y = y.curve[b], tap.curve_z = z.curve[c];
        visit(tap);
      }
    }
}

// The interpolated value at a sample of a view; from order 1 on its slopes along x, y and z of the
// volume, and with order 2 its second derivatives xx, xy, xz, yy, yz and zz.
constexpr int derivatives_of(int order) { return order == 0 ? 1 : order == 1 ? 4 : 10; }

template <int TAPS, int ORDER, typename T>
__device__ inline void read_derivatives(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky,
                                        Complex<T>* out) {
  double p[3];
  position(view, kx, ky, p);
  bool mate = p[0] < 0;
  for (int i = 0; i < derivatives_of(ORDER); ++i) out[i] = {0, 0};
  for_taps<TAPS, ORDER>(g, cell_of<T>(g, p, mate), [&](const Tap<T>& tap) {
    Complex<T> value = volume[tap.at];
    if (tap.ghost) value = conj(value);
    add(out[0], tap.z * tap.y * tap.x, value);
    if (ORDER > 0) {
      add(out[1], tap.z * tap.y * tap.slope_x, value);
      add(out[2], tap.z * tap.slope_y * tap.x, value);
      add(out[3], tap.slope_z * tap.y * tap.x, value);
    }
    if (ORDER > 1) {
      add(out[4], tap.z * tap.y * tap.curve_x, value);
      add(out[5], tap.z * tap.slope_y * tap.slope_x, value);
      add(out[6], tap.slope_z * tap.y * tap.slope_x, value);
      add(out[7], tap.z * tap.curve_y * tap.x, value);
      add(out[8], tap.slope_z * tap.slope_y * tap.x, value);
      add(out[9], tap.curve_z * tap.y * tap.x, value);
    }
  });
  if (!mate) return;  // read at minus the position, conjugated: the slopes change their sign
  for (int i = 0; i < derivatives_of(ORDER); ++i) out[i] = i > 0 && i < 4 ? T(-1) * conj(out[i]) : conj(out[i]);
}

template <int TAPS, typename T>
__device__ inline Complex<T> read(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky) {
  Complex<T> value;
  read_derivatives<TAPS, 0>(g, volume, view, kx, ky, &value);
  return value;
}
