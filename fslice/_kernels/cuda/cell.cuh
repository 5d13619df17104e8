// The one traversal: in which cell a sample falls, with which weights, and where the Friedel mate is
// stored instead. Reading and adding, values and slopes all walk over `Rows`.

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

// The taps of a cell along the three axes, and where its rows along x are stored.
template <typename T, int TAPS, int ORDER> struct Rows {
  Taps<T, TAPS, ORDER> x, y, z;
  __device__ Rows(const Geometry& g, const Cell<T>& cell)
      : x(cell.corner[0], cell.fraction[0], g.nx), y(cell.corner[1], cell.fraction[1], g.ny),
        z(cell.corner[2], cell.fraction[2], g.nz) {}
  __device__ static long long start(const Geometry& g, int ky, int kz) {
    return ((long long)stored(kz, g.nz) * g.ny + stored(ky, g.ny)) * half_of(g.nx);
  }
  // Call visit(a, at, ghost) for each tap of row (b, c): where it is stored, and whether that is its mate.
  template <typename Visit> __device__ void for_row(const Geometry& g, int b, int c, Visit visit) const {
    long long row = start(g, y.at[b], z.at[c]), mirrored = 0;
    if (TAPS > 2) mirrored = start(g, -y.at[b], -z.at[c]);  // a cubic tap may lie at x = -1: its mate is stored
#pragma unroll
    for (int a = 0; a < TAPS; ++a) {
      bool ghost = TAPS > 2 && x.at[a] < 0;
      visit(a, ghost ? mirrored - x.at[a] : row + x.at[a], ghost);
    }
  }
};

// The interpolated value at a sample of a view.
template <int TAPS, typename T>
__device__ inline Complex<T> read(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky) {
  double p[3];
  position(view, kx, ky, p);
  bool mate = p[0] < 0;
  const Rows<T, TAPS, 0> rows(g, cell_of<T>(g, p, mate));
  Complex<T> sum = {0, 0};
#pragma unroll
  for (int c = 0; c < TAPS; ++c)
#pragma unroll
    for (int b = 0; b < TAPS; ++b) {
      Complex<T> row = {0, 0};
      rows.for_row(g, b, c, [&](int a, long long at, bool ghost) {
        Complex<T> value = volume[at];
        add(row, rows.x.weight[a], ghost ? conj(value) : value);
      });
      add(sum, rows.z.weight[c] * rows.y.weight[b], row);
    }
  return mate ? conj(sum) : sum;
}

// The interpolated value, its slopes along x, y and z of the volume, and with order 2 its second derivatives
// xx, xy, xz, yy, yz, zz: 4 or 10 numbers. Rows are summed along x, then planes along y, then these along z.
template <int TAPS, int ORDER, typename T>
__device__ inline void read_derivatives(const Geometry& g, const Complex<T>* volume, const View& view, int kx, int ky,
                                        Complex<T>* out) {
  constexpr int count = ORDER > 1 ? 10 : 4;
  double p[3];
  position(view, kx, ky, p);
  bool mate = p[0] < 0;
  const Rows<T, TAPS, ORDER> rows(g, cell_of<T>(g, p, mate));
  for (int i = 0; i < count; ++i) out[i] = {0, 0};
#pragma unroll
  for (int c = 0; c < TAPS; ++c) {
    Complex<T> plane[ORDER > 1 ? 6 : 3] = {};  // the value, along x, y, xx, xy, yy
#pragma unroll
    for (int b = 0; b < TAPS; ++b) {
      Complex<T> row[ORDER + 1] = {};  // the value, along x, xx
      rows.for_row(g, b, c, [&](int a, long long at, bool ghost) {
        Complex<T> value = volume[at];
        if (ghost) value = conj(value);
        add(row[0], rows.x.weight[a], value);
        add(row[1], rows.x.slope[a], value);
        if constexpr (ORDER > 1) add(row[2], rows.x.curvature[a], value);
      });
      add(plane[0], rows.y.weight[b], row[0]);
      add(plane[1], rows.y.weight[b], row[1]);
      add(plane[2], rows.y.slope[b], row[0]);
      if constexpr (ORDER > 1) {
        add(plane[3], rows.y.weight[b], row[2]);
        add(plane[4], rows.y.slope[b], row[1]);
        add(plane[5], rows.y.curvature[b], row[0]);
      }
    }
    add(out[0], rows.z.weight[c], plane[0]);
    add(out[1], rows.z.weight[c], plane[1]);
    add(out[2], rows.z.weight[c], plane[2]);
    add(out[3], rows.z.slope[c], plane[0]);
    if constexpr (ORDER > 1) {
      add(out[4], rows.z.weight[c], plane[3]);
      add(out[5], rows.z.weight[c], plane[4]);
      add(out[6], rows.z.slope[c], plane[1]);
      add(out[7], rows.z.weight[c], plane[5]);
      add(out[8], rows.z.slope[c], plane[2]);
      add(out[9], rows.z.curvature[c], plane[0]);
    }
  }
  if (mate)  // read at minus the position, conjugated: only the slopes change their sign
    for (int i = 0; i < count; ++i) out[i] = i >= 1 && i <= 3 ? T(-1) * conj(out[i]) : conj(out[i]);
}
