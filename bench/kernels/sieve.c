/* Primes below four million by Eratosthenes, bytes as flags, several times. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { N = 4000000 };
static uint8_t composite[N];

__attribute__((noinline)) static uint32_t sieve(void) {
  uint32_t count = 0;
  memset(composite, 0, sizeof composite);
  for (uint32_t i = 2; i < N; i++) {
    if (composite[i]) continue;
    count++;
    for (uint32_t j = 2 * i; j < N; j += i) composite[j] = 1;
  }
  return count;
}

int main(void) {
  uint32_t sum = 0;
  for (int round = 0; round < 20; round++) sum += sieve();
  printf("sieve %u\n", sum);
  return 0;
}
