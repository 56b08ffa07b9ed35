/* Counts words: the most frequent ones of the files named, or of standard input.
 *
 *     words [-n COUNT] [FILE...]
 *
 * A plain C program that knows nothing of any sandbox. What it can open is what it is granted:
 *
 *     wardian run --dir examples:ro examples/words.wasm -n 5 examples/words.c
 *     wardian run examples/words.wasm -n 5 /etc/passwd         (it cannot)
 *
 * words.wasm was built from this file with
 *
 *     python -m ziglang cc --target=wasm32-wasi -Os -s -Wl,-z,stack-size=131072 -o examples/words.wasm examples/words.c
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 63, FIRST_SLOTS = 1024 };

struct entry {
    char *word;
    unsigned long count;
};

static struct entry *table;
static size_t slots, used;

static size_t hash(const char *word) {
    size_t h = 2166136261u;
    while (*word) h = (h ^ (unsigned char)*word++) * 16777619u;
    return h;
}

static struct entry *find(const char *word) {
    size_t at = hash(word) & (slots - 1);
    while (table[at].word && strcmp(table[at].word, word)) at = (at + 1) & (slots - 1);
    return &table[at];
}

static void *need(void *memory) {
    if (!memory) {
        fputs("words: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void grow(void) {
    struct entry *old = table;
    size_t old_slots = slots;
    slots = slots ? slots * 2 : FIRST_SLOTS;
    table = need(calloc(slots, sizeof *table));
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].word) *find(old[i].word) = old[i];
    free(old);
}

static void add(const char *word) {
    if (used * 2 >= slots) grow();
    struct entry *entry = find(word);
    if (!entry->word) {
        entry->word = need(strdup(word));
        used++;
    }
    entry->count++;
}

static void read_words(FILE *file) {
    char word[LONGEST + 1];
    size_t length = 0;
    for (int c; (c = getc(file)) != EOF;) {
        if (isalpha(c)) {
            if (length < LONGEST) word[length++] = (char)tolower(c);
        } else if (length) {
            word[length] = 0;
            add(word);
            length = 0;
        }
    }
    if (length) {
        word[length] = 0;
        add(word);
    }
}

static int by_count(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    if (!x->word || !y->word) return !x->word - !y->word;
    return strcmp(x->word, y->word);
}

int main(int argc, char **argv) {
    int failed = 0, first = 1;
    unsigned long most = 10;
    if (argc > 2 && !strcmp(argv[1], "-n")) {
        most = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    grow();
    if (first == argc) read_words(stdin);
    for (int i = first; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            fprintf(stderr, "words: %s: %s\n", argv[i], strerror(errno));
            failed = 1;
            continue;
        }
        read_words(file);
        fclose(file);
    }
    qsort(table, slots, sizeof *table, by_count);
    for (size_t i = 0; i < most && i < used; i++) printf("%7lu %s\n", table[i].count, table[i].word);
    return failed;
}
