/* Dense matrix product, single precision, and a second in 32-bit integers. Dense loops that vectorise. */
#include <stdint.h>
#include <stdio.h>

enum { N = 320 };
static float a[N][N], b[N][N], c[N][N];
static int32_t p[N][N], q[N][N], r[N][N];

__attribute__((noinline)) static void product(void) {
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
}

__attribute__((noinline)) static void integer_product(void) {
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) r[i][j] += p[i][k] * q[k][j];
}

int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (float)((i * 7 + j * 3) % 11) / 8;
      b[i][j] = (float)((i * 5 + j) % 13) / 8;
      p[i][j] = i ^ j;
      q[i][j] = i + 3 * j;
    }
  for (int round = 0; round < 96; round++) {
    product();
    integer_product();
  }
  uint32_t sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum = sum * 31 + (uint32_t)(int32_t)c[i][j] + (uint32_t)r[i][j];
  printf("gemm %u\n", sum);
  return 0;
}
