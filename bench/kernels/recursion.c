/* Calls: Fibonacci, Ackermann, Takeuchi, and queens on a board. */
#include <stdint.h>
#include <stdio.h>

static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static uint32_t ackermann(uint32_t m, uint32_t n) {
  return !m ? n + 1 : !n ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}
static int tak(int x, int y, int z) { return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y)); }
static uint32_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint32_t found = 0;
  for (uint32_t open = all & ~(columns | left | right), bit; (bit = open & -open); open ^= bit)
    found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  return found;
}

int main(void) {
  uint32_t sum = fib(39);
  for (int i = 0; i < 8; i++) sum = sum * 31 + ackermann(2, 1200 + sum % 2) + (uint32_t)tak(20 + (int)(sum % 3), 12, 6);
  printf("recursion %u\n", sum * 31 + queens((1u << 11) - 1, 0, 0, 0));
  return 0;
}
