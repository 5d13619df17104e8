// Complex numbers and turns. NVRTC is given no include path: there is no #include in any of these files.

template <typename T> struct alignas(2 * sizeof(T)) Complex {  // aligned, so that it is one load
  T re, im;
};

template <typename T> __device__ inline Complex<T> conj(Complex<T> a) { return {a.re, -a.im}; }
template <typename T> __device__ inline Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <typename T> __device__ inline Complex<T> operator*(Complex<T> a, Complex<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <typename T> __device__ inline Complex<T> operator*(T a, Complex<T> b) { return {a * b.re, a * b.im}; }
template <typename T> __device__ inline void add(Complex<T>& sum, T weight, Complex<T> value) {
  sum.re += weight * value.re;
  sum.im += weight * value.im;
}

// The same for real numbers, which are their own conjugates.
__device__ inline float conj(float a) { return a; }
__device__ inline double conj(double a) { return a; }
template <typename T> __device__ inline void add(T& sum, T weight, T value) { sum += weight * value; }

// The sine and cosine of a number of turns. Whole turns are dropped in double precision first:
// single precision would lose its digits to them.
__device__ inline void sincos_of_turns(double turns, double* s, double* c) {
  sincospi(2 * (turns - rint(turns)), s, c);
}
__device__ inline void sincos_of_turns(double turns, float* s, float* c) {
  sincospif(2 * float(turns - rint(turns)), s, c);
}

// Has the compiler take a number for a new one, so that it keeps nothing that follows from it: registers are few.
#ifdef __CUDA_ARCH__
__device__ inline void renew(float& number) { asm volatile("" : "+f"(number)); }
__device__ inline void renew(double& number) { asm volatile("" : "+d"(number)); }
#else
template <typename T> __device__ inline void renew(T&) {}
#endif
