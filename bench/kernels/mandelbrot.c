/* Escape times on a grid, double precision: scalar arithmetic with a loop that ends early. */
#include <stdint.h>
#include <stdio.h>

__attribute__((noinline)) static int escape(double cr, double ci, int limit) {
  double r = 0, i = 0;
  for (int n = 0; n < limit; n++) {
    double rr = r * r, ii = i * i;
    if (rr + ii > 4) return n;
    i = 2 * r * i + ci;
    r = rr - ii + cr;
  }
  return limit;
}

int main(void) {
  uint32_t sum = 0;
  for (int y = 0; y < 480; y++)
    for (int x = 0; x < 640; x++) sum = sum * 31 + (uint32_t)escape(x / 240.0 - 2.0, y / 240.0 - 1.0, 1000);
  printf("mandelbrot %u\n", sum);
  return 0;
}
