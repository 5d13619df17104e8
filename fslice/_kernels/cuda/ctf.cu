// The values of a CTF, blocks (n, ...) for image n, a thread for each stored pixel.
template <typename T>
__global__ void __launch_bounds__(256)
    ctf_values(const double* __restrict__ coefficients, Geometry g, T* values) {
  int pixels = pixels_of(g);
  long long n = blockIdx.x;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < pixels; i += gridDim.y * blockDim.x) {
    Pixel k(g, i);
    values[n * pixels + i] = ctf_value<T>(coefficients + 7 * n, k.kx, k.ky);
  }
}
