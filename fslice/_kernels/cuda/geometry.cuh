// What every kernel knows of the grids and of the views.

struct Geometry {  // fslice._kernels.interface.SliceGeometry, by value; structs.py has the same layout
  int nz, ny, nx, rows, columns, unused;
  double scale, radius2, per_column, per_row;  // max_radius^2, 1 / columns, 1 / rows: a division costs a call
};

// A view, prepared by `prepare_views`: in one precision, whatever that of the poses is.
struct View {
  double axes[3][3];       // scale * R: the sample at (kx, ky) lies at axes @ (kx, ky, 0), in (x, y, z)
  double turn_x, turn_y;   // turns of the phase per frequency: -shift / size
  double weight;
  long long image;
  float normal[3];         // a vector across the slice
  float along[2][3];       // kx = along[0].p and ky = along[1].p, for p in the slice
  int stride;              // samples that are this far apart, in kx or ky, lie in different cells
};
static_assert(sizeof(View) == 144, "structs.py allocates 18 doubles for a view");

__device__ inline int magnitude(int k) { return k < 0 ? -k : k; }
__device__ inline int limit_of(int size) { return (size - 1) / 2; }                // the highest frequency that takes part
__device__ inline int stored(int k, int size) { return k < 0 ? k + size : k; }     // where a signed frequency is
__device__ inline int frequency(int at, int size) { return at <= limit_of(size) ? at : at - size; }
__device__ inline int half_of(int size) { return size / 2 + 1; }                   // columns of a half spectrum
__device__ inline int pixels_of(const Geometry& g) { return g.rows * half_of(g.columns); }

__device__ inline bool in_band(const Geometry& g, int kx, int ky) {
  return magnitude(ky) <= limit_of(g.rows) && magnitude(kx) <= limit_of(g.columns) &&
         double(kx) * kx + double(ky) * ky <= g.radius2;
}

// Where a stored pixel of a slice is.
__device__ inline long long place_of(const Geometry& g, int kx, int ky) {
  return (long long)stored(ky, g.rows) * half_of(g.columns) + kx;
}

// A stored pixel of a slice: its row and its signed frequencies.
struct Pixel {
  int kx, ky;
  __device__ Pixel(const Geometry& g, int at) {
    int row = at / half_of(g.columns);
    kx = at - row * half_of(g.columns);
    ky = frequency(row, g.rows);
  }
};

// Every pair of frequencies k, -k off the plane kx = 0 is stored once, and counts twice in sums.
__device__ inline int pair_weight(int kx) { return kx == 0 ? 1 : 2; }

// Two places compute it, and must find the same cell. So fma is spelled out: left to itself, the
// compiler contracts in one place and not in the other.
__device__ inline void position(const View& view, int kx, int ky, double p[3]) {
  for (int i = 0; i < 3; ++i) p[i] = fma(view.axes[i][0], double(kx), view.axes[i][1] * ky);
}

// amplitude * exp(-2 pi i k.t / D)
template <typename T> __device__ inline Complex<T> phase(const View& view, int kx, int ky, double amplitude) {
  T s, c;
  sincos_of_turns(fma(view.turn_x, double(kx), view.turn_y * ky), &s, &c);
  return {T(amplitude) * c, T(amplitude) * s};
}
