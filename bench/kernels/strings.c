/* Text: makes one, folds its case, counts words, searches, replaces, formats numbers. Searching is written out, for the
   library's own may take time in proportion to the whole text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 1 << 20, WORDS = 1 << 14 };
static char text[SIZE + 1], copy[2 * SIZE + 1];
struct word { char name[16]; uint32_t count; };
static struct word words[WORDS];

static uint32_t state = 7;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u; }

static void make(void) {
  for (int at = 0; at < SIZE;) {
    int length = 2 + (int)(next() >> 28) % 7;
    for (int i = 0; i < length && at < SIZE; i++) text[at++] = (char)((next() >> 24) % 9 + (next() >> 31 ? 'a' : 'A'));
    if (at < SIZE) text[at++] = next() >> 29 ? ' ' : '\n';
  }
}

__attribute__((noinline)) static void lower(char *p) {
  for (; *p; p++)
    if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
}

__attribute__((noinline)) static uint32_t count(const char *p) {
  uint32_t distinct = 0;
  while (*p) {
    size_t length = 0;
    while (p[length] && p[length] != ' ' && p[length] != '\n') length++;
    if (length && length < 16) {
      uint32_t h = 2166136261u;
      for (size_t i = 0; i < length; i++) h = (h ^ (uint8_t)p[i]) * 16777619u;
      h &= WORDS - 1;
      while (words[h].count && (strncmp(words[h].name, p, length) || words[h].name[length])) h = (h + 1) & (WORDS - 1);
      if (!words[h].count) {
        if (distinct == WORDS * 3 / 4) return distinct;
        memcpy(words[h].name, p, length);
        distinct++;
      }
      words[h].count++;
    }
    p += length;
    while (*p == ' ' || *p == '\n') p++;
  }
  return distinct;
}

__attribute__((noinline)) static const char *find(const char *p, const char *what) {
  for (; *p; p++) {
    size_t i = 0;
    while (what[i] && p[i] == what[i]) i++;
    if (!what[i]) return p;
  }
  return NULL;
}

__attribute__((noinline)) static size_t replace(char *to, const char *from, const char *what, const char *with) {
  char *start = to;
  const char *found;
  while ((found = find(from, what))) {
    memcpy(to, from, (size_t)(found - from));
    to += found - from;
    to = stpcpy(to, with);
    from = found + strlen(what);
  }
  return (size_t)(stpcpy(to, from) - start);
}

int main(void) {
  uint32_t sum = 0;
  for (int round = 0; round < 16; round++) {
    make();
    lower(text);
    memset(words, 0, sizeof words);
    sum = sum * 31 + count(text);
    sum = sum * 31 + (uint32_t)replace(copy, text, "ab", "<->");
    sum = sum * 31 + (uint32_t)replace(copy, text, "hh", "");
    char line[64];
    for (int i = 0; i < 60000; i++) {
      snprintf(line, sizeof line, "%d:%s:%x:%.2f", i, words[i % WORDS].name, next(), i / 8.0);
      sum = sum * 31 + (uint32_t)strlen(line) + (uint32_t)strtol(line, NULL, 10);
    }
  }
  printf("strings %u\n", sum);
  return 0;
}
