/* saxpy, scaling, an integer dot product, a maximum, a prefix sum: loops over arrays of one dimension. */
#include <stdint.h>
#include <stdio.h>

enum { N = 16384, ROUNDS = 48000 };
static float x[N], y[N];
static int32_t u[N], v[N];
static uint8_t bytes[N];

__attribute__((noinline)) static void saxpy(float *to, const float *from, float a, int n) {
  for (int i = 0; i < n; i++) to[i] = a * from[i] + to[i] * 0.5f;
}

__attribute__((noinline)) static int32_t dot(const int32_t *p, const int32_t *q, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; i++) sum += p[i] * q[i];
  return sum;
}

__attribute__((noinline)) static int32_t largest(const int32_t *p, int n) {
  int32_t best = p[0];
  for (int i = 1; i < n; i++) best = p[i] > best ? p[i] : best;
  return best;
}

__attribute__((noinline)) static void prefix(int32_t *p, int n) {
  for (int i = 1; i < n; i++) p[i] = (p[i] + p[i - 1]) & 0xffff;
}

__attribute__((noinline)) static uint32_t threshold(uint8_t *p, int n, uint8_t limit) {
  uint32_t count = 0;
  for (int i = 0; i < n; i++) {
    count += p[i] > limit;
    p[i] = (uint8_t)(p[i] * 5 + 3);
  }
  return count;
}

int main(void) {
  for (int i = 0; i < N; i++) {
    x[i] = (float)(i % 31) / 4;
    y[i] = (float)(i % 17) / 8;
    u[i] = i * 2654435761u >> 20;
    v[i] = i ^ (i << 3);
    bytes[i] = (uint8_t)(i * 7);
  }
  uint32_t sum = 0;
  for (int r = 0; r < ROUNDS; r++) {
    saxpy(y, x, 0.25f, N);
    sum = sum * 31 + (uint32_t)dot(u, v, N) + (uint32_t)largest(u, N) + threshold(bytes, N, (uint8_t)r);
    if (r % 16 == 0) prefix(u, N);
  }
  for (int i = 0; i < N; i++) sum = sum * 31 + (uint32_t)(int32_t)(y[i] * 1024);
  printf("vectors %u\n", sum);
  return 0;
}
