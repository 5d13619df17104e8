// Adding without atomics. A warp owns the cells of one brick: it takes the views in order, finds the
// pixels that fall in its cells, and adds them to shared memory. No two warps add to one address, and
// the order of a sum is that of the views: equal input gives equal bits, on any card.
//
// A brick per warp, and not per block, needs no barrier of a block, and many are in flight at once:
// a linear brick in single precision takes 7 kB.

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

// Two frequencies in one number.
__device__ inline int packed(int kx, int ky) { return int(unsigned(ky) << 16 | (unsigned(kx) & 0xffffu)); }
__device__ inline int low_half(int pair) { return short(pair & 0xffff); }
__device__ inline int high_half(int pair) { return pair >> 16; }

// The pixels of a slice that may fall in a box, from their position by two linear functions. The
// margins are far more than what single precision rounds off.
struct Rectangle {
  int first[2], last[2];  // kx, ky
  __device__ Rectangle(const Geometry& g, const Outline& slice, const Box& box) {
    bool flat = slice.normal[0] == 0 && slice.normal[1] == 0 && slice.normal[2] == 0;
    for (int i = 0; i < 2; ++i) {
      float limit = float(limit_of(i == 0 ? g.columns : g.rows)), low, high;
      range_in_plane(slice.normal, box, slice.along[i], &low, &high);
      first[i] = int(flat ? -limit : fmaxf(-limit, fminf(limit + 1, ceilf(low))));
      last[i] = int(flat ? limit : fminf(limit, fmaxf(-limit - 1, floorf(high))));
    }
  }
  // The values of a linear function where the slice cuts the box. There f equals f - l n, n being the normal, for
  // any l: of the bounds that these have in the whole box the narrowest is one where an entry of f - l n vanishes.
  __device__ static void range_in_plane(const float n[3], const Box& box, const float f[3], float* low, float* high) {
    *low = -3e9f, *high = 3e9f;
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      bool small = fabsf(n[i]) < 0.02f;  // so large an l would round off too much
      float l = small ? 0 : __fdividef(f[i], n[i]), other[3], middle, extent;
      for (int j = 0; j < 3; ++j) other[j] = f[j] - l * n[j];
      box.range(other, &middle, &extent);
      extent = extent * 1.001f + 0.05f;
      *low = fmaxf(*low, middle - extent), *high = fminf(*high, middle + extent);
    }
  }
  __device__ bool meets_band(const Geometry& g) const {
    int squares = 0;
    for (int i = 0; i < 2; ++i) {
      if (first[i] > last[i]) return false;
      int nearest = first[i] > 0 ? first[i] : last[i] < 0 ? last[i] : 0;
      squares += nearest * nearest;
    }
    return squares <= g.most;
  }
};

__device__ inline bool cuts(const Outline& slice, const Box& box) {
  float distance, extent;
  box.range(slice.normal, &distance, &extent);
  return fabsf(distance) <= extent * 1.001f + 0.02f;
}

// Of a frequency and its mate, on the full plane of a slice, that with x > 0 is added. At x = 0 both would
// be; there it is the stored one, and the mates of the volume's plane are added at the end.
__device__ inline bool is_added(const Geometry& g, double x, int kx, int ky) {
  return in_band(g, kx, ky) & ((x > 0) | ((x == 0) & (kx >= 0)));
}

// Where the rows of a slice cross a box, by single precision: a little further than they do.
struct Crossing {
  float y[3], centre[3], extent[3], inverse[3];
  __device__ Crossing(const View& view, const Box& box, float margin) {
    for (int i = 0; i < 3; ++i) {
      float x = view.near[i][0];
      y[i] = view.near[i][1], centre[i] = box.centre[i];
      inverse[i] = __fdividef(1.0f, fabsf(x) < 1e-20f ? 1e-20f : x);
      extent[i] = (box.half[i] + margin) * fabsf(inverse[i]);
    }
  }
  // The first and the last kx of a row.
  __device__ void row(const Geometry& g, int ky, int* first, int* last) const {
    float limit = fminf(float(limit_of(g.columns)), sqrtf(fmaxf(0.0f, float(g.most - ky * ky))));
    float low = -limit, high = limit;
    for (int i = 0; i < 3; ++i) {
      float middle = (centre[i] - y[i] * float(ky)) * inverse[i];
      low = fmaxf(low, middle - extent[i]), high = fminf(high, middle + extent[i]);
    }
    *first = int(ceilf(fminf(low, limit + 2) - 0.01f)), *last = int(floorf(fmaxf(high, -limit - 2) + 0.01f));
  }
};

// The cell of a sample, counted from the first of a brick, and whether it is added there.
struct Sample {
  bool inside, at_zero;
};
template <typename T>
__device__ inline Sample locate(const Geometry& g, const View& view, int kx, int ky, const Item& item,
                                const int side[3], Cell<T>* cell) {
  double p[3];
  position(view, kx, ky, p);
  Sample sample = {is_added(g, p[0], kx, ky), p[0] == 0};
  *cell = cell_of<T>(g, p, false);
  for (int i = 0; i < 3; ++i) {
    cell->corner[i] -= item.origin[i];
    sample.inside &= unsigned(cell->corner[i]) < unsigned(side[i]);
  }
  return sample;
}

// What a frequency of the full plane adds, from what it or its mate stores: both of a pair are stored on kx = 0.
template <typename T, typename Value, typename Stored>
__device__ inline Value of_full_plane(int kx, bool at_zero, Value value, Stored mate_on_zero) {
  if (kx < 0) value = conj(value);
  if (kx != 0) return value;
  value = T(0.5) * value;
  return at_zero ? value : value + T(0.5) * conj(mate_on_zero());
}

// Samples that wait until there is one for each lane: at most 31, and what the rows of a view add at a time.
struct Queue {
  static constexpr int each = 4, size = 31 + 32 * each + 1;
  int pixel[size], view[size];
  // Lines up `number` pixels of a row for each lane, every other one from kx on; returns how many wait then.
  __device__ int line_up(int waiting, int number, int kx, int ky, int v) {
    unsigned ones = __ballot_sync(ALL, number & 1), twos = __ballot_sync(ALL, number & 2),
             fours = __ballot_sync(ALL, number & 4), before = (1u << threadIdx.x) - 1;
    int place = waiting + __popc(ones & before) + 2 * __popc(twos & before) + 4 * __popc(fours & before);
    for (int k = 0; k < each; ++k)
      if (k < number) pixel[place + k] = packed(kx + 2 * k, ky), view[place + k] = v;
    __syncwarp();
    return waiting + __popc(ones) + 2 * __popc(twos) + 4 * __popc(fours);
  }
  // Moves those from `head` on to the front: fewer than 32.
  __device__ void move(int head, int number) {
    int lane = threadIdx.x, own_pixel = pixel[head + lane], own_view = view[head + lane];
    __syncwarp();
    if (lane < number) pixel[lane] = own_pixel, view[lane] = own_view;
    __syncwarp();
  }
};

// Call add(active, v, kx, ky) for all samples that may fall in a brick, 32 at a time, in the order of the views;
// the whole warp calls it. Few pixels of a view fall in one brick: those of several views make a full warp. Lanes
// that are not active get some pixel all the same.
//
// A lane lines up every other pixel of a row: first come those of even kx + ky, so that of two neighbours, which may
// lie in one cell, one comes late.
template <typename Add>
__device__ inline void for_samples(const Geometry& g, const View* views, long long count, const Item& item,
                                   const int side[3], Queue& queue, Add add) {
  const Box box(item, side[0], side[1], side[2]);
  int lane = threadIdx.x, odd = lane / 16, waiting = 0;
  queue.pixel[lane] = queue.view[lane] = 0;
  __syncwarp();
  auto add_from = [&](int head, int number) {
    int pixel = queue.pixel[head + lane];
    add(lane < number, queue.view[head + lane], low_half(pixel), high_half(pixel));
  };
  int start = int(count * item.part / item.parts), stop = int(count * (item.part + 1) / item.parts);
  for (int base = start; base < stop; base += 32) {
    const Outline slice = outline_of(views, count, base + lane < stop ? base + lane : start);
    bool met = base + lane < stop && cuts(slice, box);
    int rows = 0;
    if (met) {
      Rectangle rectangle(g, slice, box);
      met = rectangle.meets_band(g);
      rows = packed(rectangle.first[1], rectangle.last[1]);
    }
    for (unsigned left = __ballot_sync(ALL, met); left; left &= left - 1) {
      int source = __ffs(left) - 1, v = base + source;
      int own_rows = __shfl_sync(ALL, rows, source), end = high_half(own_rows);
      const Crossing crossing(views[v], box, __shfl_sync(ALL, slice.margin, source));
      for (int from = low_half(own_rows); from <= end; from += 16) {
        int ky = from + lane % 16, first, last;
        crossing.row(g, ky, &first, &last);
        first += (first + ky + odd) & 1;
        int left_over = ky <= end && first <= last ? (last - first) / 2 + 1 : 0;
        do {
          int number = left_over < Queue::each ? left_over : Queue::each;
          waiting = queue.line_up(waiting, number, first, ky, v);
          first += 2 * Queue::each, left_over -= number;
          int head = 0;
          for (; waiting - head >= 32; head += 32) add_from(head, 32);
          waiting -= head;
          if (head > 0) queue.move(head, waiting);
        } while (__any_sync(ALL, left_over > 0));
      }
    }
  }
  __syncwarp();
  if (waiting > 0) add_from(0, waiting);
}

struct Bricks {  // the bricks of a volume, by value; BRICKS in bricks.py
  int low[3], count[3];  // the lowest cell, and how many bricks, in (x, y, z)
};
