// Prepares views, a thread for each: poses of either precision become what the other kernels take.

// Entries are held to where any sample off the origin is far outside the grid, so that cells stay integers.
__device__ inline double clamped(double entry, const Geometry& g) {
  double most = 1e9 / ((long long)g.rows + g.columns);
  return fabs(entry) <= most ? entry : copysign(most, entry);
}

// How far apart samples must be to lie in different cells: further than a cell's diagonal, sqrt(3).
// The shortest combination of the columns a and b of the axes is their smaller singular value.
__device__ inline int stride_of(const double a[3], const double b[3], const Geometry& g) {
  double aa = 0, bb = 0, ab = 0;
  for (int i = 0; i < 3; ++i) {
    aa += a[i] * a[i];
    bb += b[i] * b[i];
    ab += a[i] * b[i];
  }
  double shortest = (aa + bb - sqrt((aa - bb) * (aa - bb) + 4 * ab * ab)) / 2;
  if (limit_of(g.rows) == 0) shortest = aa;
  if (limit_of(g.columns) == 0) shortest = limit_of(g.rows) == 0 ? 3 : bb;
  int all = g.rows > g.columns ? g.rows : g.columns;  // each sample by itself
  double stride = shortest > 0 ? floor(sqrt(3.001 / shortest)) + 1 : all;
  return stride < all ? int(stride) : all;
}

// What bricks need: samples as functions of their position, along the axes that have cells.
__device__ inline void describe_slice(const Geometry& g, View& view) {
  double a[3], b[3], n[3], nn = 0;
  for (int i = 0; i < 3; ++i) {
    a[i] = size_of(g, i) == 1 ? 0 : view.axes[i][0];
    b[i] = size_of(g, i) == 1 ? 0 : view.axes[i][1];
  }
  for (int i = 0; i < 3; ++i) {
    int j = (i + 1) % 3, k = (i + 2) % 3;
    n[i] = a[j] * b[k] - a[k] * b[j];
    nn += n[i] * n[i];
  }
  double length = sqrt(nn);
  bool flat = !(length > 1e-4);  // its columns are parallel: every pixel may be anywhere
  for (int i = 0; i < 3; ++i) {
    int j = (i + 1) % 3, k = (i + 2) % 3;
    view.normal[i] = flat ? 0 : float(n[i] / length);
    view.along[0][i] = flat ? 0 : float((b[j] * n[k] - b[k] * n[j]) / nn);
    view.along[1][i] = flat ? 0 : float((n[j] * a[k] - n[k] * a[j]) / nn);
  }
  view.stride = stride_of(a, b, g);
}

template <typename R, typename S, typename W>
__global__ void prepare_views(const R* rotations, const S* shifts, const long long* image_of, const W* weights,
                              Geometry g, long long first, long long count, View* views) {
  long long v = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (v >= count) return;
  View view;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) view.axes[i][j] = clamped(double(rotations[9 * v + 3 * i + j]) * g.scale, g);
  view.turn_x = -double(shifts[2 * v]) * g.per_column;
  view.turn_y = -double(shifts[2 * v + 1]) * g.per_row;
  view.weight = weights ? double(weights[v]) : 1.0;
  view.image = image_of ? image_of[v] : first + v;
  describe_slice(g, view);
  views[v] = view;
}
