/* A dictionary coder: finds matches through a table of hashes, writes tokens, and expands them again. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SIZE = 1 << 21, BITS = 15 };
static uint8_t input[SIZE], packed[2 * SIZE], output[SIZE];
static uint32_t last[1 << BITS];

__attribute__((noinline)) static size_t pack(const uint8_t *from, size_t n, uint8_t *to) {
  size_t at = 0, out = 0, literals = 0;
  memset(last, 0, sizeof last);
  while (at + 8 < n) {
    uint32_t word;
    memcpy(&word, from + at, 4);
    uint32_t slot = word * 2654435761u >> (32 - BITS);
    size_t candidate = last[slot], length = 0;
    last[slot] = (uint32_t)at;
    if (candidate < at && at - candidate < 65536)
      while (length < 130 && at + length < n && from[candidate + length] == from[at + length]) length++;
    if (length >= 4) {
      to[out++] = (uint8_t)(128 + length - 4);
      to[out++] = (uint8_t)(at - candidate);
      to[out++] = (uint8_t)((at - candidate) >> 8);
      at += length;
      literals = 0;
    } else {
      if (!literals || literals == 127) literals = 0, to[out++] = 0;
      literals++;
      to[out - literals] = (uint8_t)literals;
      to[out++] = from[at++];
    }
  }
  return out;
}

__attribute__((noinline)) static size_t unpack(const uint8_t *from, size_t n, uint8_t *to) {
  size_t out = 0;
  for (size_t at = 0; at < n;) {
    uint8_t token = from[at++];
    if (token < 128) {
      memcpy(to + out, from + at, token);
      out += token;
      at += token;
    } else {
      size_t length = token - 124u, back = from[at] | (size_t)from[at + 1] << 8;
      for (size_t i = 0; i < length; i++, out++) to[out] = to[out - back];
      at += 2;
    }
  }
  return out;
}

int main(void) {
  uint32_t state = 3, sum = 0;
  for (size_t i = 0; i < SIZE;) {
    state = state * 1664525u + 1013904223u;
    size_t length = 3 + (state >> 27), from = i > 4096 ? i - 1 - (state >> 8 & 4095) : 0;
    for (size_t k = 0; k < length && i < SIZE; k++, i++) input[i] = from && state >> 31 ? input[from + k] : (uint8_t)(state >> (k & 15));
  }
  for (int round = 0; round < 30; round++) {
    size_t size = pack(input, SIZE, packed), back = unpack(packed, size, output);
    sum = sum * 31 + (uint32_t)size + (uint32_t)back + (uint32_t)(memcmp(input, output, back) != 0);
    input[round * 1000] ^= 1;
  }
  printf("compress %u\n", sum);
  return 0;
}
