// The Gram matrix of linear slices as a stencil: the products of every sample's interpolation weights,
// kept as 27 moments of each cell, then summed to 14 coefficients of each frequency.
//
// Along one axis a product is lower^2, lower * upper or upper^2 of the weights of the cell's two ends. A
// moment is a product along each axis, so that a lane of the warp owns a moment: it adds pixel after
// pixel, and no two lanes meet at an address.

struct Moments {  // a brick: what fits shared memory in double precision, with room for several warps
  static constexpr int x = 4, y = 4, z = 8, cells = x * y * z, size = 27 * cells;
};

template <typename T> struct Products {  // of one pixel
  T along[3][3];  // its weight is in those along x
  int cell;
};

// The products along one axis, zero for an end outside the grid.
template <typename T> __device__ inline void products_along(int lower, T fraction, int size, T out[3]) {
  int limit = limit_of(size);
  T low = magnitude(lower) <= limit ? 1 - fraction : T(0), high = magnitude(lower + 1) <= limit ? fraction : T(0);
  out[0] = low * low;
  out[1] = low * high;
  out[2] = high * high;
}

// The products of a sample, of weight zero if it does not fall in the brick.
template <typename T>
__device__ inline Products<T> products_of(const Geometry& g, const View& view, const Filters<T>& filters,
                                          const Item& item, int kx, int ky) {
  const int side[3] = {Moments::x, Moments::y, Moments::z};
  Cell<T> cell;
  Sample sample = locate(g, view, kx, ky, item, side, &cell);
  if (!sample.inside) return {};
  auto weight_at = [&](int x, int y) {
    T ctf = filters.ctf_at(g, view.image, x, y);
    return T(view.weight) * filters.weight_at(g, view.image, x, y) * ctf * ctf;
  };
  int sign = kx < 0 ? -1 : 1;
  T weight = of_full_plane<T>(kx, sample.at_zero, weight_at(sign * kx, sign * ky), [&] { return weight_at(0, -ky); });
  Products<T> products;
  for (int i = 0; i < 3; ++i)
    products_along(item.origin[i] + cell.corner[i], cell.fraction[i], size_of(g, i), products.along[i]);
  for (int i = 0; i < 3; ++i) products.along[0][i] *= weight;
  products.cell = (cell.corner[2] * Moments::y + cell.corner[1]) * Moments::x + cell.corner[0];
  return products;
}

// Adds a sample for each lane: they are lined up in `hits`, and each lane adds its moment of one after another.
template <typename T>
__device__ inline void add_hits(bool active, const Products<T>& own, Products<T>* hits, T* sums) {
  const int lane = threadIdx.x, a = lane % 3, b = lane / 3 % 3, c = lane / 9;
  if (active) hits[lane] = own;
  int number = __popc(__ballot_sync(ALL, active));
  __syncwarp();
  for (int j = 0; lane < 27 && j < number; ++j)
    sums[27 * hits[j].cell + lane] += hits[j].along[0][a] * hits[j].along[1][b] * hits[j].along[2][c];
  __syncwarp();  // before `hits` is written again
}

// The first part of a brick's views is added to `total`, the others to slots of their own.
template <typename T>
__global__ void __launch_bounds__(32)
    add_moments(const T* __restrict__ ctf, const double* __restrict__ coefficients, const T* __restrict__ weights,
                const long long* __restrict__ group_of, const View* __restrict__ views, Geometry g, long long count,
                const Item* __restrict__ items, int bricks, T* total, T* further) {
  __shared__ T sums[Moments::size];
  __shared__ Products<T> hits[32];
  __shared__ Queue queue;
  const Filters<T> filters = {ctf, coefficients, weights, group_of};
  const Item item = items[blockIdx.x];
  const int side[3] = {Moments::x, Moments::y, Moments::z};
  const int lane = threadIdx.x;
  bool first = item.slot < bricks;
  T* kept = first ? total + (long long)item.slot * Moments::size : further + (long long)(item.slot - bricks) * Moments::size;
  for (int i = lane; i < Moments::size; i += 32) sums[i] = first ? kept[i] : T(0);
  __syncwarp();
  for_samples(g, views, count, item, side, queue, [&](bool active, int v, int kx, int ky) {
    add_hits(active, products_of(g, views[v], filters, item, kx, ky), hits, sums);
  });
  __syncwarp();
  for (int i = lane; i < Moments::size; i += 32) kept[i] = sums[i];
}

// Adds the further parts to each brick's own, in order.
template <typename T>
__global__ void __launch_bounds__(256)
    fold_moments(const T* __restrict__ further, const int* __restrict__ slots, int bricks, T* total) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (long long)bricks * Moments::size;
       i += (long long)gridDim.x * blockDim.x) {
    const int* slot = slots + i / Moments::size * 3;
    T sum = total[i];
    for (int part = slot[1]; part < slot[2]; ++part)
      sum += further[(long long)(part - bricks) * Moments::size + i % Moments::size];
    total[i] = sum;
  }
}

// The offsets (x, y, z) of the coefficients, in the order of fslice._kernels.stencil.OFFSETS.
__device__ inline void offset_of(int number, int offset[3]) {
  bool across = number >= 5;
  offset[0] = across;
  offset[1] = across ? (number - 5) % 3 - 1 : number < 2 ? number : number - 3;
  offset[2] = across ? (number - 5) / 3 - 1 : number >= 2;
}

// The coefficients: of the eight cells around a frequency, those that hold its neighbour too.
template <typename T>
__global__ void __launch_bounds__(256)
    stencil_from_moments(const T* __restrict__ total, Bricks bricks, Geometry g, T* stencil) {
  const int side[3] = {Moments::x, Moments::y, Moments::z};
  int width = half_of(g.nx);
  long long voxels = (long long)g.nz * g.ny * width;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < 14 * voxels;
       i += (long long)gridDim.x * blockDim.x) {
    long long at = i % voxels;
    int k[3] = {int(at % width), frequency(int(at / width % g.ny), g.ny), frequency(int(at / width / g.ny), g.nz)};
    int offset[3];
    offset_of(int(i / voxels), offset);
    T sum = 0;
    for (int corner = 0; corner < 8; ++corner) {
      int brick[3], inner[3], moment[3];
      bool inside = true;
      for (int axis = 0; axis < 3; ++axis) {
        int own = corner >> axis & 1, other = own + offset[axis], cell = k[axis] - own - bricks.low[axis];
        inside = inside && other >= 0 && other <= 1 && cell >= 0 && cell < bricks.count[axis] * side[axis];
        brick[axis] = cell / side[axis], inner[axis] = cell % side[axis], moment[axis] = own + other;
      }
      if (!inside) continue;
      long long number = ((long long)brick[2] * bricks.count[1] + brick[1]) * bricks.count[0] + brick[0];
      int in_brick = (inner[2] * Moments::y + inner[1]) * Moments::x + inner[0];
      sum += total[number * Moments::size + 27 * in_brick + 9 * moment[2] + 3 * moment[1] + moment[0]];
    }
    stencil[i] = sum;
  }
}

__device__ inline int wrapped(int at, int size) { return at < 0 ? at + size : at >= size ? at - size : at; }

// What the stencil gives at a frequency, without the mates of the plane x = 0.
template <typename T>
__device__ inline Complex<T> half_product(const Geometry& g, const T* stencil, const Complex<T>* volume, int x, int y, int z) {
  int width = half_of(g.nx);
  long long voxels = (long long)g.nz * g.ny * width, at = ((long long)z * g.ny + y) * width + x;
  Complex<T> sum = stencil[at] * volume[at];
  for (int number = 1; number < 14; ++number) {
    int offset[3];
    offset_of(number, offset);
    for (int sign = -1; sign < 2; sign += 2) {
      int other = x + sign * offset[0];
      if (other < 0 || other >= width) continue;
      long long row = (long long)wrapped(z + sign * offset[2], g.nz) * g.ny + wrapped(y + sign * offset[1], g.ny);
      long long neighbour = row * width + other;
      add(sum, stencil[number * voxels + (sign > 0 ? at : neighbour)], volume[neighbour]);
    }
  }
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(256)
    apply_stencil(const T* __restrict__ stencil, const Complex<T>* __restrict__ volume, Geometry g, Complex<T>* product) {
  int width = half_of(g.nx);
  long long voxels = (long long)g.nz * g.ny * width;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < voxels; i += (long long)gridDim.x * blockDim.x) {
    int x = int(i % width), y = int(i / width % g.ny), z = int(i / width / g.ny);
    Complex<T> sum = half_product(g, stencil, volume, x, y, z);
    if (x == 0) {
      int mate_y = y == 0 ? 0 : g.ny - y, mate_z = z == 0 ? 0 : g.nz - z;
      sum = sum + conj(half_product(g, stencil, volume, 0, mate_y, mate_z));
    }
    product[i] = sum;
  }
}
