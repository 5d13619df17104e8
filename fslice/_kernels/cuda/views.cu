// Prepares views, a thread for each: poses of either precision become what the other kernels take.

// Entries are held to where any sample off the origin is far outside the grid, so that cells stay integers. Where a
// sample may cancel the two of a row, one power of two holds both: held each by itself, others would cancel.
__device__ inline void hold(double row[2], const Geometry& g) {
  double sides = double(g.rows) + g.columns, most = 1e9 / sides;
  double low = fmin(fabs(row[0]), fabs(row[1])), high = fmax(fabs(row[0]), fabs(row[1]));
  int power = 0;
  if (high > most && low * sides > high) frexp(high / most, &power);
  for (int j = 0; j < 2; ++j) {
    row[j] = ldexp(row[j], -power);
    if (!(fabs(row[j]) <= most)) row[j] = copysign(most, row[j]);
  }
}

// Samples as functions of their position, along the axes that have cells.
__device__ inline Outline outline(const Geometry& g, const View& view) {
  double a[3], b[3], n[3], nn = 0, furthest = g.nx + g.ny + g.nz;
  for (int i = 0; i < 3; ++i) {
    a[i] = size_of(g, i) == 1 ? 0 : view.axes[i][0];
    b[i] = size_of(g, i) == 1 ? 0 : view.axes[i][1];
    furthest += fabs(a[i]) * g.columns + fabs(b[i]) * g.rows;
  }
  for (int i = 0; i < 3; ++i) {
    int j = (i + 1) % 3, k = (i + 2) % 3;
    n[i] = a[j] * b[k] - a[k] * b[j];
    nn += n[i] * n[i];
  }
  double length = sqrt(nn);
  bool flat = !(length > 1e-4);  // its columns are parallel: every pixel may be anywhere
  Outline outline;
  for (int i = 0; i < 3; ++i) {
    int j = (i + 1) % 3, k = (i + 2) % 3;
    outline.normal[i] = flat ? 0 : float(n[i] / length);
    outline.along[0][i] = flat ? 0 : float((b[j] * n[k] - b[k] * n[j]) / nn);
    outline.along[1][i] = flat ? 0 : float((n[j] * a[k] - n[k] * a[j]) / nn);
  }
  outline.margin = float(0.01 + 1e-6 * furthest);
  return outline;
}

template <typename R, typename S, typename W>
__global__ void prepare_views(const R* rotations, const S* shifts, const long long* image_of, const W* weights,
                              Geometry g, long long first, long long count, View* views) {
  long long v = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (v >= count) return;
  View view;
  for (int i = 0; i < 3; ++i) {
    const R* row = rotations + 9 * v + 3 * i;
    for (int j = 0; j < 2; ++j) view.axes[i][j] = double(row[j]) * g.scale;
    hold(view.axes[i], g);
    view.beam[i] = double(row[2]) * g.scale;
    for (int j = 0; j < 2; ++j) view.near[i][j] = size_of(g, i) == 1 ? 0 : float(view.axes[i][j]);
  }
  view.turn_x = -double(shifts[2 * v]) * g.per_column;
  view.turn_y = -double(shifts[2 * v + 1]) * g.per_row;
  view.weight = weights ? double(weights[v]) : 1.0;
  view.image = image_of ? image_of[v] : first + v;
  views[v] = view;
  Outline own = outline(g, view);
  float* kept = reinterpret_cast<float*>(views + count);
  for_numbers(own, [&](int i, float& number) { kept[i * count + v] = number; });
}
