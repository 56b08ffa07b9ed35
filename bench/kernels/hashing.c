/* Multiply-and-rotate hashing of 64-bit words, CRC-32 by table, and a hash table with open addressing. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint8_t data[1 << 20];
static uint32_t table[256];
enum { SLOTS = 1 << 18 };
static uint64_t slot_keys[SLOTS];
static uint32_t slot_values[SLOTS];

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

__attribute__((noinline)) static uint64_t words(const uint8_t *p, size_t n, uint64_t seed) {
  const uint64_t one = 0x9e3779b97f4a7c15u, two = 0xc2b2ae3d27d4eb4fu;
  uint64_t lane[4] = {seed + one, seed + two, seed, seed - one};
  for (size_t at = 0; at + 32 <= n; at += 32)
    for (int i = 0; i < 4; i++) {
      uint64_t w;
      memcpy(&w, p + at + 8 * i, 8);
      lane[i] = rotate(lane[i] + w * two, 31) * one;
    }
  uint64_t h = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
  h = (h ^ h >> 33) * two;
  return h ^ h >> 29;
}

__attribute__((noinline)) static uint32_t crc(const uint8_t *p, size_t n, uint32_t c) {
  for (size_t i = 0; i < n; i++) c = table[(c ^ p[i]) & 255] ^ c >> 8;
  return c;
}

__attribute__((noinline)) static uint32_t count(uint64_t key) {
  uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 40) & (SLOTS - 1);
  while (slot_keys[at] && slot_keys[at] != key) at = (at + 1) & (SLOTS - 1);
  slot_keys[at] = key;
  return ++slot_values[at];
}

int main(void) {
  for (uint32_t i = 0; i < 256; i++) {
    table[i] = i;
    for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
  }
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 2654435761u >> 13);
  uint64_t h = 0;
  uint32_t c = 0, sum = 0;
  for (int round = 0; round < 600; round++) h = words(data, sizeof data, h);
  for (int round = 0; round < 60; round++) c = crc(data, sizeof data, c);
  uint64_t key = 1;
  for (int i = 0; i < 12000000; i++) {
    key = key * 6364136223846793005u + 1442695040888963407u;
    sum += count((key >> 47) + 1);
  }
  printf("hashing %016llx %08x %u\n", (unsigned long long)h, c, sum);
  return 0;
}
