/* Quicksort, heapsort and merge sort of integers, and qsort() of structures with a comparison function. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 400000 };
static uint32_t state = 1, keys[N], work[N], spare[N];
struct item { uint32_t key; double weight; };
static struct item items[N];

static uint32_t next(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

static void quick(uint32_t *p, int low, int high) {
  while (low < high) {
    uint32_t pivot = p[(low + high) / 2];
    int i = low, j = high;
    while (i <= j) {
      while (p[i] < pivot) i++;
      while (p[j] > pivot) j--;
      if (i <= j) {
        uint32_t t = p[i];
        p[i++] = p[j];
        p[j--] = t;
      }
    }
    quick(p, low, j);
    low = i;
  }
}

static void sift(uint32_t *p, int root, int n) {
  uint32_t value = p[root];
  for (int child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && p[child] < p[child + 1]) child++;
    if (p[child] <= value) break;
    p[root] = p[child];
  }
  p[root] = value;
}

static void heap(uint32_t *p, int n) {
  for (int i = n / 2 - 1; i >= 0; i--) sift(p, i, n);
  for (int i = n - 1; i > 0; i--) {
    uint32_t t = p[0];
    p[0] = p[i];
    p[i] = t;
    sift(p, 0, i);
  }
}

static void merge(uint32_t *p, uint32_t *q, int n) {
  for (int width = 1; width < n; width *= 2) {
    for (int at = 0; at < n; at += 2 * width) {
      int middle = at + width < n ? at + width : n, end = at + 2 * width < n ? at + 2 * width : n;
      for (int i = at, j = middle, k = at; k < end; k++) q[k] = i < middle && (j >= end || p[i] <= p[j]) ? p[i++] : p[j++];
    }
    memcpy(p, q, sizeof(uint32_t) * (size_t)n);
  }
}

static int compare(const void *a, const void *b) {
  uint32_t x = ((const struct item *)a)->key, y = ((const struct item *)b)->key;
  return (x > y) - (x < y);
}

static uint32_t digest(const uint32_t *p) {
  uint32_t sum = 0;
  for (int i = 0; i < N; i++) sum = sum * 31 + p[i];
  return sum;
}

int main(void) {
  uint32_t sum = 0;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < N; i++) {
      keys[i] = next();
      items[i].key = keys[i];
      items[i].weight = i;
    }
    memcpy(work, keys, sizeof keys);
    quick(work, 0, N - 1);
    sum += digest(work);
    memcpy(work, keys, sizeof keys);
    heap(work, N);
    sum += digest(work);
    memcpy(work, keys, sizeof keys);
    merge(work, spare, N);
    sum += digest(work);
    qsort(items, N, sizeof items[0], compare);
    sum += items[N / 2].key;
  }
  printf("sorting %u\n", sum);
  return 0;
}
