// Adding without atomics. A warp owns the cells of one brick: it takes the views in order, finds the
// pixels that fall in its cells, and adds them to shared memory. No two warps add to one address, and
// the order of a sum is that of the views: equal input gives equal bits, on any card.
//
// A brick per warp, and not per block, needs no barrier of a block, and many are in flight at once:
// a linear brick in single precision takes 6 kB.

struct Item {      // some of the views, and the brick that they are added to; ITEM in bricks.py
  int origin[3];   // the brick's lowest cell, in (x, y, z)
  int slot;        // where its sums are kept
  int part, parts; // of the views
};
static_assert(sizeof(Item) == 24, "bricks.py lays out 6 integers for an item");

constexpr unsigned ALL = 0xffffffffu;

// The cells of a brick as a box in space.
struct Box {
  float centre[3], half[3];
  __device__ Box(const Item& item, int x, int y, int z) {
    half[0] = 0.5f * x, half[1] = 0.5f * y, half[2] = 0.5f * z;
    for (int i = 0; i < 3; ++i) centre[i] = item.origin[i] + half[i];
  }
  // The values that a linear function of the position takes in the box.
  __device__ void range(const float f[3], float* middle, float* extent) const {
    *middle = *extent = 0;
    for (int i = 0; i < 3; ++i) {
      *middle += f[i] * centre[i];
      *extent += fabsf(f[i]) * half[i];
    }
  }
};

// The pixels of a slice that may fall in a box, from their position by two linear functions. The
// margins are far more than what single precision rounds off.
struct Rectangle {
  int first[2], last[2];  // kx, ky
  __device__ Rectangle(const Geometry& g, const View& view, const Box& box) {
    bool flat = view.normal[0] == 0 && view.normal[1] == 0 && view.normal[2] == 0;
    for (int i = 0; i < 2; ++i) {
      float limit = float(limit_of(i == 0 ? g.columns : g.rows)), middle, extent;
      box.range(view.along[i], &middle, &extent);
      extent = extent * 1.001f + 0.05f;
      first[i] = int(flat ? -limit : fmaxf(-limit, fminf(limit + 1, ceilf(middle - extent))));
      last[i] = int(flat ? limit : fminf(limit, fmaxf(-limit - 1, floorf(middle + extent))));
    }
  }
  __device__ bool meets_band(const Geometry& g) const {
    double squares = 0;
    for (int i = 0; i < 2; ++i) {
      if (first[i] > last[i]) return false;
      double nearest = first[i] > 0 ? first[i] : last[i] < 0 ? last[i] : 0;
      squares += nearest * nearest;
    }
    return squares <= g.radius2;
  }
};

__device__ inline bool meets(const Geometry& g, const View& view, const Box& box) {
  float distance, extent;
  box.range(view.normal, &distance, &extent);
  return fabsf(distance) <= extent * 1.001f + 0.02f && Rectangle(g, view, box).meets_band(g);
}

// Which of a frequency and its mate, on the full plane of a slice, is added: that with x > 0. At x = 0
// both would be; there it is the stored one, and the mates of the volume's plane are added at the end.
struct Sample {
  bool inside, at_zero;
};
template <typename T>
__device__ inline Sample locate(const Geometry& g, const View& view, int kx, int ky, const Item& item,
                                const int side[3], Cell<T>* cell) {
  double p[3];
  position(view, kx, ky, p);
  Sample sample = {in_band(g, kx, ky) && (p[0] > 0 || (p[0] == 0 && kx >= 0)), p[0] == 0};
  *cell = cell_of<T>(g, p, false);
  for (int i = 0; i < 3; ++i) {
    cell->corner[i] -= item.origin[i];
    sample.inside = sample.inside && cell->corner[i] >= 0 && cell->corner[i] < side[i];
  }
  return sample;
}

// What a frequency of the full plane adds, from the stored half: both of a pair are stored on kx = 0.
template <typename T, typename Stored>
__device__ inline auto of_full_plane(int kx, int ky, bool at_zero, Stored stored_at) {
  if (kx > 0) return stored_at(kx, ky);
  if (kx < 0) return conj(stored_at(-kx, -ky));
  auto value = T(0.5) * stored_at(0, ky);
  return at_zero ? value : value + T(0.5) * conj(stored_at(0, -ky));
}

// Call visit(v) for each view of an item that may meet its brick, in order; the whole warp calls it.
template <typename Visit>
__device__ inline void for_views(const Geometry& g, const View* views, long long count, const Item& item,
                                 const Box& box, Visit visit) {
  long long start = count * item.part / item.parts, stop = count * (item.part + 1) / item.parts;
  for (long long base = start; base < stop; base += 32) {
    long long own = base + threadIdx.x;
    unsigned met = __ballot_sync(ALL, own < stop && meets(g, views[own], box));
    for (; met; met &= met - 1) visit(base + __ffs(met) - 1);
  }
}

struct Bricks {  // the bricks of a volume, by value; BRICKS in bricks.py
  int low[3], count[3];  // the lowest cell, and how many bricks, in (x, y, z)
};
