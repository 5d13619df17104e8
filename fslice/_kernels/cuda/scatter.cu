// Slices added into a volume: the adjoint of `gather`, and the same with squared weights.

template <typename T, int POWER> struct ElementOf { using type = Complex<T>; };
template <typename T> struct ElementOf<T, 2> { using type = T; };
template <typename T, int POWER> using Element = typename ElementOf<T, POWER>::type;

template <int TAPS> struct Brick {  // in cells, and in the voxels that these reach
  static constexpr int side = 8, width = side + TAPS - 1, size = width * width * width;
};

// What a stored pixel adds, from the value that is read. READY: it comes from a kernel that has taken off the phase,
// and has weighted.
template <typename T, int POWER, bool READY> struct Values;
template <typename T> struct Values<T, 1, false> {
  const Complex<T>* slice;
  const View& view;
  double amplitude;
  __device__ Values(const Geometry& g, const Complex<T>* values, const View& view, long long, double amplitude)
      : slice(values + view.image * pixels_of(g)), view(view), amplitude(amplitude * view.weight) {}
  __device__ Complex<T> added(Complex<T> value, int kx, int ky) const {
    return value * conj(phase<T>(view, kx, ky, amplitude));
  }
};
template <typename T> struct Values<T, 1, true> {
  const Complex<T>* slice;
  __device__ Values(const Geometry& g, const Complex<T>* values, const View&, long long v, double)
      : slice(values + v * pixels_of(g)) {}
  __device__ Complex<T> added(Complex<T> value, int, int) const { return value; }
};
template <typename T> struct Values<T, 2, false> {
  const T* slice;
  T weight;
  __device__ Values(const Geometry& g, const T* values, const View& view, long long, double)
      : slice(values + view.image * pixels_of(g)), weight(T(view.weight)) {}
  __device__ T added(T value, int, int) const { return weight * value; }
};

// The weights of a cell's taps along one axis of a brick. The brick keeps what falls outside the grid,
// where it is not collected.
template <typename T, int TAPS, int POWER> struct BrickTaps {
  T weight[TAPS];
  __device__ BrickTaps(T fraction, int size) {
    Spline<T, TAPS>::weights(fraction, weight);
    for (int t = 0; t < TAPS; ++t) {
      if (size == 1) weight[t] = t == -Spline<T, TAPS>::first;
      if (POWER == 2) weight[t] *= weight[t];
    }
  }
};

// Adds a sample for each lane. All lanes add the same tap at the same time, so that two meet at an address only
// if they are in one cell: these take turns.
template <typename T, int TAPS, int POWER, bool READY>
__device__ inline void add_samples(const Geometry& g, const View* views, const Element<T, POWER>* values,
                                   double amplitude, const Item& item, bool active, int v, int kx, int ky,
                                   Element<T, POWER>* sums) {
  using B = Brick<TAPS>;
  const int side[3] = {B::side, B::side, B::side};
  const View& view = views[v];
  const Values<T, POWER, READY> own(g, values, view, v, amplitude);
  int sign = kx < 0 ? -1 : 1;
  const Element<T, POWER> stored = own.slice[place_of(g, sign * kx, sign * ky)];
  Cell<T> cell;
  Sample sample = locate(g, view, kx, ky, item, side, &cell);
  Element<T, POWER> value = of_full_plane<T>(kx, sample.at_zero, own.added(stored, sign * kx, sign * ky), [&] {
    return own.added(own.slice[place_of(g, 0, -ky)], 0, -ky);
  });
  active = active && sample.inside;
  BrickTaps<T, TAPS, POWER> x(cell.fraction[0], g.nx), y(cell.fraction[1], g.ny), z(cell.fraction[2], g.nz);
  int at = (cell.corner[2] * B::width + cell.corner[1]) * B::width + cell.corner[0];
  unsigned together = __match_any_sync(ALL, active ? at : -1);
  int own_turn = active ? __popc(together & ((1u << threadIdx.x) - 1)) : -1;
  for (int turn = 0; __any_sync(ALL, own_turn >= turn); ++turn) {
    for (int a = 0; TAPS > 2 && a < TAPS; ++a) renew(x.weight[a]);  // or all 64 products are kept for the next turn
#pragma unroll
    for (int c = 0; c < TAPS; ++c)
#pragma unroll
      for (int b = 0; b < TAPS; ++b)
#pragma unroll
        for (int a = 0; a < TAPS; ++a) {
          if (own_turn == turn)
            add(sums[at + (c * B::width + b) * B::width + a], z.weight[c] * y.weight[b] * x.weight[a], value);
          __syncwarp();
        }
  }
}

template <typename T, int TAPS, int POWER, bool READY>
__global__ void __launch_bounds__(32)
    scatter_bricks(const Element<T, POWER>* __restrict__ values, const View* __restrict__ views, double amplitude,
                   Geometry g, long long count, const Item* __restrict__ items, int fresh,
                   Element<T, POWER>* partial) {
  using B = Brick<TAPS>;
  __shared__ Element<T, POWER> sums[B::size];
  __shared__ Queue queue;
  const Item item = items[blockIdx.x];
  const int side[3] = {B::side, B::side, B::side};
  Element<T, POWER>* kept = partial + (long long)item.slot * B::size;
  for (int i = threadIdx.x; i < B::size; i += 32) sums[i] = fresh ? Element<T, POWER>{} : kept[i];
  __syncwarp();
  for_samples(g, views, count, item, side, queue, [&](bool active, int v, int kx, int ky) {
    add_samples<T, TAPS, POWER, READY>(g, views, values, amplitude, item, active, v, kx, ky, sums);
  });
  for (int i = threadIdx.x; i < B::size; i += 32) kept[i] = sums[i];
}

// The sum of what the bricks hold of each voxel, in a fixed order. A voxel on the plane x = 0, or that a
// tap beyond it reaches, is its mate's as well: `ghost`.
template <typename T, int TAPS, int POWER>
__global__ void __launch_bounds__(256, 4)
    collect_bricks(const Element<T, POWER>* __restrict__ partial, const int* __restrict__ slots, Bricks bricks,
                   Geometry g, Element<T, POWER>* volume) {
  using B = Brick<TAPS>;
  constexpr int FIRST = Spline<T, TAPS>::first;
  int width = half_of(g.nx);
  long long total = (long long)g.nz * g.ny * width;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += (long long)gridDim.x * blockDim.x) {
    int k[3] = {int(i % width), frequency(int(i / width % g.ny), g.ny), frequency(int(i / width / g.ny), g.nz)};
    bool inside = true;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) inside = inside && magnitude(k[axis]) <= limit_of(size_of(g, axis));
    Element<T, POWER> sum = {};
    for (int ghost = 0; inside && ghost < (k[0] <= -FIRST ? 2 : 1); ++ghost) {
      int at[3], low[3], high[3];
#pragma unroll
      for (int axis = 0; axis < 3; ++axis) {
        at[axis] = (ghost ? -k[axis] : k[axis]) - FIRST - bricks.low[axis];
        int lowest = at[axis] - (TAPS - 1), last = bricks.count[axis] - 1;
        low[axis] = lowest < 0 ? 0 : lowest / B::side;
        high[axis] = at[axis] / B::side < last ? at[axis] / B::side : last;
      }
      for (int z = low[2]; z <= high[2]; ++z)
        for (int y = low[1]; y <= high[1]; ++y)
          for (int x = low[0]; x <= high[0]; ++x) {
            const int* slot = slots + 3ll * ((z * bricks.count[1] + y) * bricks.count[0] + x);
            int inner = ((at[2] - z * B::side) * B::width + at[1] - y * B::side) * B::width + at[0] - x * B::side;
            for (int part = slot[1] - 1; part < slot[2]; ++part) {  // its own slot, then the further ones
              Element<T, POWER> value = partial[(long long)(part < slot[1] ? slot[0] : part) * B::size + inner];
              add(sum, T(1), ghost ? conj(value) : value);
            }
          }
    }
    volume[i] = sum;
  }
}
