/* A plugin: functions to be called from Python, which call back into it. examples/embed.py uses it.
 *
 * plugin.wasm was built from this file with
 *
 *     python -m ziglang cc --target=wasm32-freestanding -Os -s -nostdlib -Wl,--no-entry -Wl,-z,stack-size=16384 -o examples/plugin.wasm examples/plugin.c
 */
#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("host"), import_name("progress"))) void progress(int percent);

static unsigned char text[4096];

/* Where the caller may put a text of at most `room` bytes. */
EXPORT("buffer") unsigned char *buffer(void) { return text; }
EXPORT("room") unsigned long room(void) { return sizeof text; }

/* Counts the vowels of the first `length` bytes put there. */
EXPORT("vowels") int vowels(unsigned long length) {
    int found = 0;
    if (length > sizeof text) __builtin_trap();
    for (unsigned long i = 0; i < length; i++) {
        unsigned char c = text[i] | 32;
        found += c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
    }
    return found;
}

/* The number of primes below `n`, telling the host how far it is. */
EXPORT("primes") long long primes(int n) {
    long long found = 0;
    for (int i = 2; i < n; i++) {
        int j = 2;
        while (j * j <= i && i % j) j++;
        found += j * j > i;
        if (n >= 4 && i % (n / 4) == 0) progress(i / (n / 4) * 25);
    }
    return found;
}

/* Never returns. */
EXPORT("spin") int spin(void) {
    for (volatile int i = 0;; i++);
}
