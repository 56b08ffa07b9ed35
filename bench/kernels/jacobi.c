/* Five-point stencil on a square grid, double precision, two grids that change places. */
#include <stdint.h>
#include <stdio.h>

enum { N = 512, STEPS = 2000 };
static double grids[2][N][N];

__attribute__((noinline)) static void step(double (*to)[N], double (*from)[N]) {
  for (int i = 1; i < N - 1; i++)
    for (int j = 1; j < N - 1; j++)
      to[i][j] = 0.25 * (from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]);
}

int main(void) {
  for (int i = 0; i < N; i++)
    for (int g = 0; g < 2; g++) {
      grids[g][0][i] = i % 17;
      grids[g][N - 1][i] = i % 23;
      grids[g][i][0] = i % 5;
      grids[g][i][N - 1] = i % 7;
    }
  for (int s = 0; s < STEPS; s++) step(grids[(s + 1) & 1], grids[s & 1]);
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += grids[STEPS & 1][i][j] * ((i + j) % 3);
  printf("jacobi %.6f\n", sum);
  return 0;
}
