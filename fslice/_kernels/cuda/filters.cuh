// What multiplies slices, and how residuals are weighed; each part may be absent (a null pointer).

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

// The CTF from its seven coefficients, with gamma, of hundreds of radians, in double precision.
template <typename T> __device__ inline T ctf_value(const double* c, int kx, int ky) {
  double xx = double(kx) * kx, yy = double(ky) * ky, rr = xx + yy;
  double gamma = c[0] * xx + c[1] * kx * ky + c[2] * yy + c[3] * rr * rr + c[4];
  T s, unused;
  sincos_of_turns(gamma * 0.15915494309189535, &s, &unused);  // 1 / (2 pi)
  return T(-c[6]) * s * exponential(T(-c[5] * rr));
}

template <typename T> struct Filters {
  const T* ctf;                // values, a slice for each image
  const double* coefficients;  // or seven numbers for each image
  const T* weights;            // 1 / sigma^2, a slice for each group
  const long long* group_of;   // of images

  __device__ bool has_ctf() const { return ctf || coefficients; }
  __device__ T ctf_at(const Geometry& g, long long image, int kx, int ky) const {
    if (ctf) return ctf[image * pixels_of(g) + place_of(g, kx, ky)];
    return coefficients ? ctf_value<T>(coefficients + 7 * image, kx, ky) : T(1);
  }
  __device__ T weight_at(const Geometry& g, long long image, int kx, int ky) const {
    if (!weights) return T(1);
    return weights[(group_of ? group_of[image] : 0) * pixels_of(g) + place_of(g, kx, ky)];
  }
};
