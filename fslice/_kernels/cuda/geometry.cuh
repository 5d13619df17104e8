// What every kernel knows of the grids and of the views.

struct Geometry {  // fslice._kernels.interface.SliceGeometry, by value; structs.py has the same layout
  int nz, ny, nx, rows, columns;
  int most;                  // kx^2 + ky^2 of what takes part
  unsigned inverse, unused;  // inverse: 2^32 / half_of(columns), rounded down
  double scale, per_column, per_row;  // 1 / columns, 1 / rows: a division costs a call
};

// A view, prepared by `prepare_views`: in one precision, whatever that of the poses is. A line of the cache.
struct alignas(16) View {
  double axes[3][2];       // scale * R: the sample at (kx, ky) lies at axes @ (kx, ky), in (x, y, z)
  double turn_x, turn_y;   // turns of the phase per frequency: -shift / size
  double weight;
  long long image;
  double beam[3];          // the third column of scale * R
  float near[3][2];        // the axes, zero along one of a single frequency
};

// Where a slice lies, in single precision. The numbers follow the views of a call, the first of all views first, as
// neighbouring threads read neighbouring views.
struct Outline {
  float normal[3];    // a vector across the slice; zero if it may be anywhere
  float along[2][3];  // kx = along[0].p and ky = along[1].p, for p in the slice
  float margin;       // more than what single precision loses of a position
};
static_assert(sizeof(View) + sizeof(Outline) == 168, "structs.py allocates 21 doubles for a view and its outline");

// Call visit(i, number) for the numbers of an outline, in the order in which they are kept.
template <typename Visit> __device__ inline void for_numbers(Outline& outline, Visit visit) {
  for (int i = 0; i < 3; ++i) visit(i, outline.normal[i]);
  for (int i = 0; i < 6; ++i) visit(3 + i, outline.along[i / 3][i % 3]);
  visit(9, outline.margin);
}

__device__ inline Outline outline_of(const View* views, long long count, long long v) {
  Outline outline;
  const float* kept = reinterpret_cast<const float*>(views + count);
  for_numbers(outline, [&](int i, float& number) { number = kept[i * count + v]; });
  return outline;
}

__device__ inline int magnitude(int k) { return k < 0 ? -k : k; }
__device__ inline int limit_of(int size) { return (size - 1) / 2; }                // the highest frequency that takes part
__device__ inline int stored(int k, int size) { return k < 0 ? k + size : k; }     // where a signed frequency is
__device__ inline int frequency(int at, int size) { return at <= limit_of(size) ? at : at - size; }
__device__ inline int half_of(int size) { return size / 2 + 1; }                   // columns of a half spectrum
__device__ inline int pixels_of(const Geometry& g) { return g.rows * half_of(g.columns); }

__device__ inline bool in_band(const Geometry& g, int kx, int ky) {
  return (magnitude(ky) <= limit_of(g.rows)) & (magnitude(kx) <= limit_of(g.columns)) & (kx * kx + ky * ky <= g.most);
}

// Where a stored pixel of a slice is.
__device__ inline long long place_of(const Geometry& g, int kx, int ky) {
  return (long long)stored(ky, g.rows) * half_of(g.columns) + kx;
}

// A stored pixel of a slice: its row and its signed frequencies.
struct Pixel {
  int kx, ky;
  __device__ Pixel(const Geometry& g, int at) {
    int width = half_of(g.columns), row = int(__umulhi(unsigned(at), g.inverse));  // the quotient, or one less
    kx = at - row * width;
    if (kx >= width) kx -= width, ++row;
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
