/* Five bodies under gravity, double precision. */
#include <math.h>
#include <stdio.h>

enum { BODIES = 5 };
struct body { double x[3], v[3], mass; };
static struct body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 39.5},
    {{4.8, -1.2, -0.1}, {0.6, 2.8, -0.02}, 0.038},
    {{8.3, 4.1, -0.4}, {-1.0, 1.8, 0.008}, 0.011},
    {{12.9, -15.1, -0.2}, {1.1, 0.9, -0.01}, 0.0017},
    {{15.4, -25.9, 0.2}, {0.98, 0.6, -0.03}, 0.002}};

__attribute__((noinline)) static void advance(struct body *b, double dt) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], square = 0;
      for (int k = 0; k < 3; k++) {
        d[k] = b[i].x[k] - b[j].x[k];
        square += d[k] * d[k];
      }
      double pull = dt / (square * sqrt(square));
      for (int k = 0; k < 3; k++) {
        b[i].v[k] -= d[k] * b[j].mass * pull;
        b[j].v[k] += d[k] * b[i].mass * pull;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) b[i].x[k] += dt * b[i].v[k];
}

int main(void) {
  for (int i = 0; i < 6000000; i++) advance(bodies, 0.001);
  double energy = 0;
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) energy += 0.5 * bodies[i].mass * bodies[i].v[k] * bodies[i].v[k];
  printf("nbody %.9f\n", energy);
  return 0;
}
