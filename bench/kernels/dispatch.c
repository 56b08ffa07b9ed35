/* A small bytecode interpreter twice: by a table of functions (indirect calls) and by a switch (jump table). */
#include <stdint.h>
#include <stdio.h>

struct machine { const uint8_t *code; uint32_t pc, steps; uint32_t reg[16]; };
typedef void operation(struct machine *);

#define A (m->reg[m->code[m->pc + 1] & 15])
#define B (m->reg[m->code[m->pc + 2] & 15])
static void op_add(struct machine *m) { A += B; m->pc += 3; }
static void op_sub(struct machine *m) { A -= B; m->pc += 3; }
static void op_mul(struct machine *m) { A *= B; m->pc += 3; }
static void op_xor(struct machine *m) { A ^= B; m->pc += 3; }
static void op_rot(struct machine *m) { A = A << (B & 31) | A >> (-B & 31); m->pc += 3; }
static void op_set(struct machine *m) { A = m->code[m->pc + 2]; m->pc += 3; }
static void op_dec(struct machine *m) { A -= 1; m->pc += 3; }
static void op_loop(struct machine *m) { m->pc = A ? m->code[m->pc + 2] : m->pc + 3; }
static operation *const operations[8] = {op_add, op_sub, op_mul, op_xor, op_rot, op_set, op_dec, op_loop};

static const uint8_t program[] = {5, 0, 200, 5, 1, 250, 5, 2, 3, 0, 3, 1, 2, 4, 3, 3, 5, 4, 4, 5, 2, 1, 6, 3,
                                  6, 1, 0, 7, 1, 9, 5, 1, 250, 6, 0, 0, 7, 0, 9, 8, 0, 0};

__attribute__((noinline)) static uint32_t by_table(uint32_t seed) {
  struct machine machine = {.code = program}, *m = &machine;
  m->reg[3] = seed;
  while (m->code[m->pc] < 8) {
    operations[m->code[m->pc]](m);
    m->steps++;
  }
  return m->steps ^ m->reg[5] ^ m->reg[6];
}

__attribute__((noinline)) static uint32_t by_switch(uint32_t seed) {
  struct machine machine = {.code = program}, *m = &machine;
  m->reg[3] = seed;
  for (;; m->steps++) switch (m->code[m->pc]) {
      case 0: A += B; m->pc += 3; break;
      case 1: A -= B; m->pc += 3; break;
      case 2: A *= B; m->pc += 3; break;
      case 3: A ^= B; m->pc += 3; break;
      case 4: A = A << (B & 31) | A >> (-B & 31); m->pc += 3; break;
      case 5: A = m->code[m->pc + 2]; m->pc += 3; break;
      case 6: A -= 1; m->pc += 3; break;
      case 7: m->pc = A ? m->code[m->pc + 2] : m->pc + 3; break;
      default: return m->steps ^ m->reg[5] ^ m->reg[6];
    }
}

int main(void) {
  uint32_t sum = 0;
  for (uint32_t round = 0; round < 300; round++) sum = sum * 31 + by_table(round) + by_switch(round + 1);
  printf("dispatch %u\n", sum);
  return 0;
}
