// Slices added into a volume: the adjoint of `gather`, and the same with squared weights.

template <typename T, int POWER> struct ElementOf { using type = Complex<T>; };
template <typename T> struct ElementOf<T, 2> { using type = T; };
template <typename T, int POWER> using Element = typename ElementOf<T, POWER>::type;

template <int TAPS> struct Brick {  // in cells, and in the voxels that these reach
  static constexpr int side = 8, width = side + TAPS - 1, size = width * width * width;
};

// What a stored pixel adds. READY: it comes from a kernel that has taken off the phase, and has weighted.
template <typename T, int POWER, bool READY> struct Values;
template <typename T> struct Values<T, 1, false> {
  const Complex<T>* slice;
  const View& view;
  double amplitude;
  __device__ Values(const Geometry& g, const Complex<T>* values, const View& view, long long, double amplitude)
      : slice(values + view.image * pixels_of(g)), view(view), amplitude(amplitude * view.weight) {}
  __device__ Complex<T> operator()(const Geometry& g, int kx, int ky) const {
    return slice[place_of(g, kx, ky)] * conj(phase<T>(view, kx, ky, amplitude));
  }
};
template <typename T> struct Values<T, 1, true> {
  const Complex<T>* slice;
  __device__ Values(const Geometry& g, const Complex<T>* values, const View&, long long v, double)
      : slice(values + v * pixels_of(g)) {}
  __device__ Complex<T> operator()(const Geometry& g, int kx, int ky) const {
    return slice[place_of(g, kx, ky)];
  }
};
template <typename T> struct Values<T, 2, false> {
  const T* slice;
  T weight;
  __device__ Values(const Geometry& g, const T* values, const View& view, long long, double)
      : slice(values + view.image * pixels_of(g)), weight(T(view.weight)) {}
  __device__ T operator()(const Geometry& g, int kx, int ky) const {
    return weight * slice[place_of(g, kx, ky)];
  }
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

__device__ inline int packed(int kx, int ky) { return int(unsigned(ky) << 16 | (unsigned(kx) & 0xffffu)); }

// Adds one pixel for each lane. They are of one class, so that they lie in different cells, and all lanes
// add the same tap at the same time: no two meet at an address.
template <typename T, int TAPS, int POWER, bool READY>
__device__ inline void add_pixels(const Geometry& g, const View& view, const Values<T, POWER, READY>& values,
                                  const Item& item, bool active, int pixel, Element<T, POWER>* sums) {
  using B = Brick<TAPS>;
  const int side[3] = {B::side, B::side, B::side};
  Cell<T> cell = {};
  Element<T, POWER> value = {};
  if (active) {
    int kx = short(pixel & 0xffff), ky = pixel >> 16;
    Sample sample = locate(g, view, kx, ky, item, side, &cell);
    value = of_full_plane<T>(kx, ky, sample.at_zero, [&](int x, int y) { return values(g, x, y); });
  }
  BrickTaps<T, TAPS, POWER> x(cell.fraction[0], g.nx), y(cell.fraction[1], g.ny), z(cell.fraction[2], g.nz);
  int at = (cell.corner[2] * B::width + cell.corner[1]) * B::width + cell.corner[0];
#pragma unroll
  for (int c = 0; c < TAPS; ++c)
#pragma unroll
    for (int b = 0; b < TAPS; ++b)
#pragma unroll
      for (int a = 0; a < TAPS; ++a) {
        if (active) add(sums[at + (c * B::width + b) * B::width + a], z.weight[c] * y.weight[b] * x.weight[a], value);
        __syncwarp();
      }
}

// Adds the pixels of one class: equal remainders of kx and ky by the view's stride. Those that fall in
// the brick wait in a queue, until there is one for each lane.
template <typename T, int TAPS, int POWER, bool READY>
__device__ inline void add_class(const Geometry& g, const View& view, const Values<T, POWER, READY>& values,
                                 const Item& item, const Rectangle& rectangle, int x, int y, int* queue,
                                 Element<T, POWER>* sums) {
  using B = Brick<TAPS>;
  const int side[3] = {B::side, B::side, B::side};
  int lane = threadIdx.x, waiting = 0, stride = view.stride;
  int nx = (rectangle.last[0] - x) / stride + 1, ny = (rectangle.last[1] - y) / stride + 1;
  for (int base = 0; base < nx * ny; base += 32) {
    int i = base + lane, kx = x + stride * (i % nx), ky = y + stride * (i / nx);
    Cell<T> cell;
    bool hit = i < nx * ny && locate(g, view, kx, ky, item, side, &cell).inside;
    unsigned hits = __ballot_sync(ALL, hit);
    if (hit) queue[waiting + __popc(hits & ((1u << lane) - 1))] = packed(kx, ky);
    waiting += __popc(hits);
    __syncwarp();
    if (waiting < 32) continue;
    add_pixels<T, TAPS, POWER, READY>(g, view, values, item, true, queue[lane], sums);
    waiting -= 32;
    queue[lane] = queue[32 + lane];
    __syncwarp();
  }
  if (waiting > 0)
    add_pixels<T, TAPS, POWER, READY>(g, view, values, item, lane < waiting, queue[lane], sums);
}

template <typename T, int TAPS, int POWER, bool READY>
__global__ void __launch_bounds__(32)
    scatter_bricks(const Element<T, POWER>* __restrict__ values, const View* __restrict__ views, double amplitude,
                   Geometry g, long long count, const Item* __restrict__ items, int fresh,
                   Element<T, POWER>* partial) {
  using B = Brick<TAPS>;
  __shared__ Element<T, POWER> sums[B::size];
  __shared__ int queue[64];
  const Item item = items[blockIdx.x];
  const Box box(item, B::side, B::side, B::side);
  Element<T, POWER>* kept = partial + (long long)item.slot * B::size;
  queue[32 + threadIdx.x] = 0;
  for (int i = threadIdx.x; i < B::size; i += 32) sums[i] = fresh ? Element<T, POWER>{} : kept[i];
  __syncwarp();
  for_views(g, views, count, item, box, [&](long long v) {
    const View& view = views[v];
    const Rectangle rectangle(g, view, box);
    const Values<T, POWER, READY> own(g, values, view, v, amplitude);
    for (int y = rectangle.first[1]; y <= rectangle.last[1] && y < rectangle.first[1] + view.stride; ++y)
      for (int x = rectangle.first[0]; x <= rectangle.last[0] && x < rectangle.first[0] + view.stride; ++x)
        add_class<T, TAPS, POWER, READY>(g, view, own, item, rectangle, x, y, queue, sums);
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
