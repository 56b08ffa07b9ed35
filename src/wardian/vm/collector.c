/* The collector of one heap: size classes, conservative roots, mark and sweep; nothing ever moves.
 *
 * Built for wasm32 without a library, run by our own engine on the heap's memory, so a mistake here stays in the sandbox.
 * The constants in capitals that are not defined below come from heap.py.
 *
 * Invariants:
 *  - a cell's LIVE bit (of the 8 bytes it begins with) is set exactly if the cell has been handed out, but for the cells of
 *    the present runs, which are given back before a collection;
 *  - memory handed out is zero, so an object that was never finished is harmless;
 *  - memory.grow, release() and the first roots() may not return (the guest may be told to stop), so whoever calls them
 *    leaves everything in order first; no function keeps anything in memory below its own locals (there is no C stack);
 *  - words that only look like references are let through nowhere but in mark_near(), which needs no promise about them.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("host"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
#define SLOW __attribute__((noinline))
#define BYTE(a) (*(u8 *)(u32)(a))
#define WORD(a) (*(u32 *)(u32)(a))
#define LONG(a) (*(u64 *)(u32)(a))

/* Fill ROOTS with the next candidates (SCAN_ON), or the first; how many, 0 at the end. */
IMPORT(roots) u32 roots(u32 scan);
/* There are dead handles to be taken note of. */
IMPORT(release) void release(void);

/* -- places -- */

#define PAGE 4096u
#define PAGES (SEGMENT / PAGE)
#define SEGMENTS 4096u
#define MAP 8u /* A segment begins with two bitmaps, side by side: 64 bits of the one, 64 bits of the other, and so on. */
#define MAPS 16u
#define STACK 0x8000u /* a piece of the mark stack */
#define STACK_END 0xC000u
#define INFO 0xC000u /* per page: class << 8 | pages since the head of its span */
#define NEXT 0xC400u /* per head page: next span of a list */
#define FREE 0xC800u /* bit per page */
#define TOUCHED 0xC820u /* bit per page: was it ever handed out */
#define COUNT 0xC840u /* free pages, or, of a huge object, its segments */
#define FIRST_PAGE 13u
#define HEAD (FIRST_PAGE * PAGE)

#define SEG(a) ((u32)(a) & ~(SEGMENT - 1))
#define SEG_PAGE(a) (((u32)(a) & (SEGMENT - 1)) / PAGE)
#define SEG_KIND(a) BYTE(SEGMENT_KINDS + ((u32)(a) / SEGMENT))
#define UNUSED 0
#define PAGED 1
#define HUGE_HEAD 2
#define HUGE_REST 3
#define TABLE 4 /* a huge table of the collector's own */

#define SMALL_CLASSES (MAX_RUN / ALIGN) /* class c holds cells of 8c bytes */
#define CLASSES (SMALL_CLASSES + 1 + 16) /* then quarter steps from 640 to 8192 */
#define MAX_CELL 8192u
#define LARGE 254u
#define SYSTEM 255u
#define SMALL_SPAN 4u
#define MEDIUM_SPAN 16u

#define P STATE_PRIVATE
#define FLIP WORD(P) /* which bitmap says what is live: 0 or MAP; the other is for marks */
#define TOP WORD(P + 4) /* segments below are, or were, in use; the first is the collector's */
#define SPENT WORD(P + 8) /* bytes handed out since the last collection */
#define BUDGET WORD(P + 12) /* how many may be */
#define OVERFLOW WORD(P + 16)
#define SP WORD(P + 20) /* where the next entry of the mark stack goes; SEG(SP) is the piece's segment */
#define BOXES_LIVE WORD(P + 24)
#define HINT WORD(P + 28) /* no segment below has room for a small span */
#define MEDIUM_RUNS (P + 64)
#define CURRENT(c) WORD(P + 256 + 4 * (c)) /* the span runs are taken from */
#define POSITION(c) WORD(P + 768 + 4 * (c)) /* the first cell of it not looked at */
#define AVAILABLE(c) WORD(P + 1280 + 4 * (c)) /* list of spans with free cells */

#define LEAST_BUDGET (4u << 20)
#define LEAST_BOXES 1024u

/* -- bits -- */

#define BIT_WORD(seg, map, a) LONG((seg) + (map) + (((u32)(a) & (SEGMENT - 1)) >> 9) * MAPS)
#define BIT(a) (1ull << (((u32)(a) >> 3) & 63))

static inline int is_live(u32 a) { return (BIT_WORD(SEG(a), FLIP, a) & BIT(a)) != 0; }
static inline int is_marked(u32 a) { return (BIT_WORD(SEG(a), MAP - FLIP, a) & BIT(a)) != 0; }
static inline void set_live(u32 a) { BIT_WORD(SEG(a), FLIP, a) |= BIT(a); }
static inline void clear_live(u32 a) { BIT_WORD(SEG(a), FLIP, a) &= ~BIT(a); }

/* Clear one of the bitmaps for `count` pages. */
static void clear_bits(u32 seg, u32 map, u32 page, u32 count) {
    for (u32 i = page * 8; i < (page + count) * 8; i++) LONG(seg + map + MAPS * i) = 0;
}

static inline void zero(u32 at, u32 size) { __builtin_memset((void *)at, 0, size); }

/* -- pages -- */

static inline u32 pages_of(u32 class) { return class <= SMALL_CLASSES ? SMALL_SPAN : MEDIUM_SPAN; }

static inline u32 cell_size(u32 class) {
    if (class <= SMALL_CLASSES) return class * ALIGN;
    u32 step = class - SMALL_CLASSES - 1;
    return (128u << (step / 4)) * (5 + step % 4);
}

static inline u32 medium_class(u32 size) {
    u32 octave = 31 - __builtin_clz((size - 1) / MAX_RUN);
    u32 quarter = (size - 1) / (128u << octave); /* 4 to 7 */
    return SMALL_CLASSES + 1 + octave * 4 + quarter - 4;
}

static inline u32 run_of(u32 class) {
    return class <= SMALL_CLASSES ? RUNS + class * ALIGN : MEDIUM_RUNS + (class - SMALL_CLASSES - 1) * 8;
}

static inline u32 info(u32 a) { return WORD(SEG(a) + INFO + 4 * SEG_PAGE(a)); }

/* The first of `count` free pages in a row, or 0. */
static u32 find_pages(u32 seg, u32 count) {
    u32 run = 0;
    for (u32 page = FIRST_PAGE; page < PAGES; page++) {
        u64 bits = LONG(seg + FREE + page / 64 * 8);
        if (!bits) {
            run = 0;
            page |= 63;
        } else if (bits >> (page & 63) & 1) {
            if (++run == count) return page + 1 - count;
        } else run = 0;
    }
    return 0;
}

static void free_pages(u32 seg, u32 page, u32 count) {
    for (u32 i = page; i < page + count; i++) {
        LONG(seg + FREE + i / 64 * 8) |= 1ull << (i & 63);
        WORD(seg + INFO + 4 * i) = 0;
    }
    WORD(seg + COUNT) += count;
    if (SEG(HINT) > seg) HINT = seg;
}

/* Take pages; 1 if they were all still as the system gave them. */
static u32 take_pages(u32 seg, u32 page, u32 count, u32 class) {
    u32 fresh = 1;
    for (u32 i = page; i < page + count; i++) {
        u64 bit = 1ull << (i & 63);
        LONG(seg + FREE + i / 64 * 8) &= ~bit;
        if (LONG(seg + TOUCHED + i / 64 * 8) & bit) fresh = 0;
        LONG(seg + TOUCHED + i / 64 * 8) |= bit;
        WORD(seg + INFO + 4 * i) = class << 8 | (i - page);
    }
    WORD(seg + COUNT) -= count;
    return fresh;
}

/* Make a segment one of pages; `fresh` if it was never used. */
static void open_segment(u32 seg, u32 fresh) {
    if (!fresh) {
        zero(seg, HEAD);
        for (u32 i = 0; i < 4; i++) LONG(seg + TOUCHED + 8 * i) = ~0ull;
    }
    SEG_KIND(seg) = PAGED;
    free_pages(seg, FIRST_PAGE, PAGES - FIRST_PAGE);
}

/* The first of `count` unused segments in a row, plus 1 if they are as the system gave them; 0 if the limit is reached.
 * May not return. */
static u32 find_segments(u32 count) {
    u32 run = 0, top = TOP;
    for (u32 i = 1; i < top; i++) {
        run = BYTE(SEGMENT_KINDS + i) == UNUSED ? run + 1 : 0;
        if (run == count) return (i + 1 - count) * SEGMENT;
    }
    if (count > WORD(STATE_LIMIT) || top + count > WORD(STATE_LIMIT) + 1) return 0;
    u32 have = (u32)__builtin_wasm_memory_size(0) * 65536u;
    u32 want = (top + count) * SEGMENT;
    if (want > have && __builtin_wasm_memory_grow(0, (want - have) / 65536u) == (u32)-1) return 0;
    TOP = top + count;
    return top * SEGMENT + 1;
}

/* `count` pages in one segment, plus 1 if they are as the system gave them; 0 if they are not to be had. May not return. */
static u32 span(u32 count, u32 class) {
    u32 seg = count <= SMALL_SPAN ? HINT : SEGMENT;
    for (; seg < TOP * SEGMENT; seg += SEGMENT) {
        if (SEG_KIND(seg) != PAGED || WORD(seg + COUNT) < count) continue;
        u32 page = find_pages(seg, count);
        if (page) {
            if (count <= SMALL_SPAN) HINT = seg;
            return (seg + page * PAGE) | take_pages(seg, page, count, class);
        }
    }
    seg = find_segments(1);
    if (!seg) return 0;
    open_segment(SEG(seg), seg & 1);
    return (SEG(seg) + HEAD) | take_pages(SEG(seg), FIRST_PAGE, count, class);
}

/* -- marking -- */

static u32 next_piece(u32 seg) {
    for (seg += SEGMENT; seg < TOP * SEGMENT; seg += SEGMENT)
        if (SEG_KIND(seg) == PAGED || SEG_KIND(seg) == HUGE_HEAD) return seg;
    return 0;
}

static u32 previous_piece(u32 seg) {
    for (seg -= SEGMENT; seg; seg -= SEGMENT)
        if (SEG_KIND(seg) == PAGED || SEG_KIND(seg) == HUGE_HEAD) return seg;
    return 0;
}

/* Whether there was room. */
static inline int push(u32 entry) {
    u32 sp = SP;
    if ((sp & (SEGMENT - 1)) == STACK_END) {
        u32 seg = next_piece(SEG(sp));
        if (!seg) {
            OVERFLOW = 1;
            return 0;
        }
        sp = seg + STACK;
    }
    WORD(sp) = entry;
    SP = sp + 4;
    return 1;
}

/* 0: the stack is empty. */
static inline u32 pop(void) {
    u32 sp = SP;
    if ((sp & (SEGMENT - 1)) == STACK) {
        u32 seg = previous_piece(SEG(sp));
        if (!seg) return 0;
        sp = seg + STACK_END;
    }
    SP = sp - 4;
    return WORD(sp - 4);
}

static inline int has_references(u32 header) {
    u32 kind = header & KIND_MASK;
    return kind == STRUCT_REFS || kind == ARRAY_REFS || kind == EXCEPTION;
}

/* Mark what a word refers to, if it is a reference to a live object. */
static inline void mark(u32 r) {
    if (r & (ALIGN - 1)) return; /* an i31 */
    u32 kind = SEG_KIND(r);
    if (kind != PAGED && kind != HUGE_HEAD) return; /* null */
    u64 bit = BIT(r);
    u64 *marks = &BIT_WORD(SEG(r), MAP - FLIP, r);
    if (*marks & bit) return;
    if (!(BIT_WORD(SEG(r), FLIP, r) & bit)) return;
    *marks |= bit;
    if (has_references(WORD(r))) push(r);
}

/* Mark the object that `a` lies in, if there is one. */
static void mark_near(u32 a) {
    u32 seg = SEG(a);
    u32 kind = SEG_KIND(seg);
    if (kind == UNUSED || kind == TABLE) return;
    while (SEG_KIND(seg) == HUGE_REST) seg -= SEGMENT;
    if (kind != PAGED) {
        if (a - seg >= HEAD) mark(seg + HEAD);
        return;
    }
    u32 page = WORD(seg + INFO + 4 * SEG_PAGE(a));
    u32 class = page >> 8;
    u32 start = seg + (SEG_PAGE(a) - (page & 255)) * PAGE;
    if (class == LARGE) mark(start);
    else if (class && class < CLASSES) {
        u32 size = cell_size(class);
        u32 cell = start + (a - start) / size * size;
        if (cell + size <= start + pages_of(class) * PAGE) mark(cell);
    }
}

#define SLICE 256u

static inline void scan_array(u32 r, u32 from, u32 room) {
    u32 end = WORD(r + LENGTH);
    if (end > room) end = room;
    if (end - from > SLICE && end > from) {
        /* The rest later, so that a long array does not fill the stack. */
        if (push(from + SLICE) && !push(r | 1)) pop();
        end = from + SLICE;
    }
    for (u32 i = from; i < end; i++) mark(WORD(r + ELEMENTS + 4 * i));
}

/* How many bytes the cell has that begins at `r`. */
static inline u32 room_at(u32 r) {
    u32 seg = SEG(r);
    if (SEG_KIND(seg) == HUGE_HEAD) return WORD(seg + COUNT) * SEGMENT - HEAD;
    u32 page = SEG_PAGE(r), class = info(r) >> 8;
    if (class < CLASSES) return cell_size(class);
    u32 count = 1;
    while (page + count < PAGES && WORD(seg + INFO + 4 * (page + count)) == (LARGE << 8 | count)) count++;
    return count * PAGE;
}

static inline void scan_struct(u32 r, u32 number) {
    u32 page = WORD(TYPES + 4 * (number / 4096));
    if (!page) return;
    u32 row = page + number % 4096 * 16;
    for (u64 map = LONG(row + 8); map; map &= map - 1) mark(WORD(r + 4 * __builtin_ctzll(map)));
    u32 list = WORD(row), count = WORD(row + 4);
    for (u32 i = 0; i < count; i++) mark(WORD(r + WORD(list + 4 * i)));
}

static inline void scan(u32 r) {
    u32 header = WORD(r);
    u32 kind = header & KIND_MASK;
    if (kind == STRUCT_REFS) scan_struct(r, header >> TYPE_SHIFT);
    else if (kind == ARRAY_REFS) scan_array(r, 0, (room_at(r) - ELEMENTS) / 4);
    else if (kind == EXCEPTION)
        for (u32 at = r + EXCEPTION_SIZE, end = r + room_at(r); at + 16 <= end; at += 16) mark(WORD(at));
}

static void drain(void) {
    for (u32 entry; (entry = pop());) {
        if (entry & 1) scan_array(entry - 1, pop(), (room_at(entry - 1) - ELEMENTS) / 4);
        else scan(entry);
    }
}

/* The stack was too small: look at all marked objects for unmarked ones they refer to, until there are none. */
SLOW static void rescan(void) {
    while (OVERFLOW) {
        OVERFLOW = 0;
        for (u32 seg = SEGMENT; seg < TOP * SEGMENT; seg += SEGMENT) {
            if (SEG_KIND(seg) != PAGED && SEG_KIND(seg) != HUGE_HEAD) continue;
            for (u32 i = HEAD / 512; i < SEGMENT / 512; i++) {
                for (u64 bits = LONG(seg + MAP - FLIP + MAPS * i); bits; bits &= bits - 1) {
                    u32 r = seg + i * 512 + (u32)__builtin_ctzll(bits) * 8;
                    if (has_references(WORD(r))) {
                        scan(r);
                        drain();
                    }
                }
                if (SEG_KIND(seg) == HUGE_HEAD) break;
            }
        }
    }
}

/* -- collecting -- */

/* Give the unused cells of all runs back. */
static void retire(void) {
    for (u32 class = 1; class < CLASSES; class++) {
        u32 run = run_of(class), size = cell_size(class);
        for (u32 a = WORD(run); a < WORD(run + 4); a += size) clear_live(a);
        LONG(run) = 0;
        CURRENT(class) = 0;
        AVAILABLE(class) = 0;
    }
}

/* `n` candidates are in ROOTS already. */
static void mark_all(u32 n) {
    OVERFLOW = 0;
    SP = next_piece(0) + STACK;
    for (u32 seg = SEGMENT; seg < TOP * SEGMENT; seg += SEGMENT)
        if (SEG_KIND(seg) == PAGED || SEG_KIND(seg) == HUGE_HEAD) clear_bits(seg, MAP - FLIP, 0, PAGES);
    for (; n; n = roots(SCAN_ON)) {
        for (u32 i = 0; i < n; i++) mark_near(WORD(ROOTS + 4 * i));
        drain();
    }
    u32 pins = WORD(STATE_PINS), room = WORD(STATE_PINS_ROOM);
    for (u32 i = 0; i < room; i++) {
        mark(WORD(pins + 4 * i));
        drain();
    }
    rescan();
}

/* Note the handles of boxes that are not marked. */
static void sweep_boxes(void) {
    u32 boxes = WORD(STATE_BOXES), room = WORD(STATE_BOXES_ROOM), dead = WORD(STATE_DEAD), n = WORD(STATE_DEAD_COUNT);
    u32 alive = 0;
    for (u32 i = 0; i < room; i++) {
        u32 r = WORD(boxes + 4 * i);
        if (!r) continue;
        if (is_marked(r)) alive++;
        else {
            WORD(boxes + 4 * i) = 0;
            WORD(dead + 4 * n++) = i;
        }
    }
    WORD(STATE_DEAD_COUNT) = n;
    WORD(STATE_BOXES_NEW) = 0;
    BOXES_LIVE = alive;
}

/* Free a span nothing in which is marked, else list it if it has room. */
static void sweep_span(u32 seg, u32 page, u32 class) {
    u32 size = cell_size(class), pages = pages_of(class), live = 0;
    for (u32 i = 0; i < pages * 8; i++) live += __builtin_popcountll(LONG(seg + MAP - FLIP + MAPS * (page * 8 + i)));
    if (!live) {
        free_pages(seg, page, pages);
        return;
    }
    WORD(STATE_LIVE) += live;
    WORD(STATE_LIVE_BYTES) += live * size;
    if (live < pages * PAGE / size) {
        WORD(seg + NEXT + 4 * page) = AVAILABLE(class);
        AVAILABLE(class) = seg + page * PAGE;
    }
}

static void sweep_large(u32 seg, u32 page) {
    u32 a = seg + page * PAGE, size = room_at(a);
    if (is_marked(a)) {
        WORD(STATE_LIVE) += 1;
        WORD(STATE_LIVE_BYTES) += size;
    } else free_pages(seg, page, size / PAGE);
}

static void sweep_huge(u32 seg) {
    u32 count = WORD(seg + COUNT);
    if (is_marked(seg + HEAD)) {
        WORD(STATE_LIVE) += 1;
        WORD(STATE_LIVE_BYTES) += count * SEGMENT;
    } else
        for (u32 i = 0; i < count; i++) SEG_KIND(seg + i * SEGMENT) = UNUSED;
}

static void sweep(void) {
    WORD(STATE_LIVE) = WORD(STATE_LIVE_BYTES) = 0;
    HINT = SEGMENT;
    for (u32 seg = (TOP - 1) * SEGMENT; seg; seg -= SEGMENT) {
        if (SEG_KIND(seg) == HUGE_HEAD) sweep_huge(seg);
        if (SEG_KIND(seg) != PAGED) continue;
        for (u32 page = PAGES - 1; page >= FIRST_PAGE; page--) {
            u32 what = WORD(seg + INFO + 4 * page);
            if (!what || what & 255) continue;
            u32 class = what >> 8;
            if (class < CLASSES) sweep_span(seg, page, class);
            else if (class == LARGE) sweep_large(seg, page);
        }
        if (WORD(seg + COUNT) == PAGES - FIRST_PAGE) SEG_KIND(seg) = UNUSED;
    }
    FLIP = MAP - FLIP;
}

SLOW static void collect_from(u32 scan) {
    u32 n = roots(scan); /* This may not return: nothing has been touched yet. */
    retire();
    mark_all(n);
    sweep_boxes();
    sweep();
    WORD(STATE_COLLECTIONS)++;
    SPENT = 0;
    BUDGET = WORD(STATE_LIVE_BYTES) > LEAST_BUDGET ? WORD(STATE_LIVE_BYTES) : LEAST_BUDGET;
    if (WORD(STATE_DEAD_COUNT)) release();
}

SLOW static void collect(void) { collect_from(SCAN_BEGIN); }

/* For Python: if no guest of the store is running, exactly what cannot be reached goes. */
EXPORT(collect) void collect_exactly(void) { collect_from(SCAN_EXACT); }

/* -- allocating -- */

/* The next run of free cells of the current span into the class's run; whether there was one. */
static int next_run(u32 class, u32 size, u32 fresh) {
    u32 span = CURRENT(class), at = POSITION(class);
    if (!span) return 0;
    u32 end = span + pages_of(class) * PAGE / size * size;
    while (at < end && is_live(at)) at += size;
    if (at >= end) {
        CURRENT(class) = 0;
        return 0;
    }
    u32 from = at, run = run_of(class);
    do {
        set_live(at);
        at += size;
    } while (at < end && !is_live(at) && !WORD(STATE_ZEAL));
    POSITION(class) = at;
    if (!fresh || WORD(STATE_ZEAL)) zero(from, at - from);
    SPENT += at - from;
    WORD(run) = from;
    WORD(run + 4) = at;
    return 1;
}

/* A run, of the current span, of one with room, or of a new one. May not return. */
static int refill(u32 class, u32 size) {
    if (next_run(class, size, 0)) return 1;
    u32 at = AVAILABLE(class);
    if (at) {
        AVAILABLE(class) = WORD(SEG(at) + NEXT + 4 * SEG_PAGE(at));
        CURRENT(class) = POSITION(class) = at;
        return next_run(class, size, 0);
    }
    at = span(pages_of(class), class);
    if (!at) return 0;
    u32 fresh = at & 1;
    at -= fresh;
    clear_bits(SEG(at), FLIP, SEG_PAGE(at), pages_of(class));
    CURRENT(class) = POSITION(class) = at;
    return next_run(class, size, fresh);
}

static u32 cell(u32 class, u32 size) {
    u32 run = run_of(class);
    u32 at = WORD(run);
    if (at + size > WORD(run + 4)) {
        if (SPENT >= BUDGET || WORD(STATE_ZEAL)) collect();
        if (!refill(class, size)) {
            collect();
            if (!refill(class, size)) return 0;
        }
        at = WORD(run);
    }
    WORD(run) = at + size;
    return at;
}

/* Whole segments. May not return. */
static u32 huge(u32 size, u32 kind) {
    u32 count = (u32)(((u64)size + HEAD + SEGMENT - 1) / SEGMENT);
    u32 seg = find_segments(count);
    if (!seg) return 0;
    u32 fresh = seg & 1;
    seg -= fresh;
    if (!fresh)
        for (u32 i = 0; i < count * 16; i++) zero(seg + i * 65536, 65536);
    for (u32 i = 0; i < count; i++) SEG_KIND(seg + i * SEGMENT) = i && kind == HUGE_HEAD ? HUGE_REST : kind;
    WORD(seg + COUNT) = count;
    return seg + HEAD;
}

/* Whole pages for one object, or (TABLE) for the collector's own use. May not return. */
static u32 pages(u32 size, u32 kind) {
    u32 count = (size + PAGE - 1) / PAGE;
    if (count > PAGES - FIRST_PAGE) return huge(size, kind);
    u32 at = span(count, kind == TABLE ? SYSTEM : LARGE);
    if (!at) return 0;
    u32 fresh = at & 1;
    at -= fresh;
    if (!fresh) zero(at, count * PAGE);
    clear_bits(SEG(at), FLIP, SEG_PAGE(at), count);
    return at;
}

static u32 large(u32 size) {
    if (SPENT >= BUDGET || SPENT + (u64)size >= 2 * (u64)BUDGET || WORD(STATE_ZEAL)) collect();
    u32 at = pages(size, HUGE_HEAD);
    if (!at) {
        collect();
        at = pages(size, HUGE_HEAD);
        if (!at) return 0;
    }
    set_live(at);
    SPENT += size;
    return at;
}

/* An object of `size` bytes, all zero; 0 if the heap is exhausted. */
EXPORT(alloc) u32 alloc(u32 size) {
    if (size > ARRAY_BYTES + ELEMENTS) return 0;
    size = (size + ALIGN - 1) & ~(ALIGN - 1);
    if (size <= MAX_RUN) return cell(size / ALIGN, size);
    if (size > MAX_CELL) return large(size);
    u32 class = medium_class(size);
    return cell(class, cell_size(class));
}

/* -- for Python -- */

/* Grow the table at `state` (its offset, its room in words) to at least `want` words; whether that could be done. */
static int grow_table(u32 state, u32 want) {
    u32 old = WORD(state), room = WORD(state + 4);
    if (want <= room) return 1;
    u32 size = room * 2 > want ? room * 2 : want;
    size = (size * 4 + PAGE - 1) / PAGE * PAGE;
    u32 at = pages(size, TABLE);
    if (!at) return 0;
    for (u32 i = 0; i < room; i++) WORD(at + 4 * i) = WORD(old + 4 * i);
    WORD(state) = at;
    WORD(state + 4) = size / 4;
    if (SEG_KIND(old) == PAGED) free_pages(SEG(old), SEG_PAGE(old), room * 4 / PAGE);
    else if (room)
        for (u32 i = 0, n = WORD(SEG(old) + COUNT); i < n; i++) SEG_KIND(SEG(old) + i * SEGMENT) = UNUSED;
    return 1;
}

/* Room for `count` references that Python holds; whether it is to be had. */
EXPORT(pins) u32 pins(u32 count) { return grow_table(STATE_PINS, count); }

/* An object with this header, all else zero, held by Python's pin `slot`. */
EXPORT(make) u32 make(u32 size, u32 header, u32 slot) {
    u32 r = alloc(size);
    if (r) {
        WORD(r) = header;
        WORD(WORD(STATE_PINS) + 4 * slot) = r;
    }
    return r;
}

/* The box of a Python object, held by `slot`. */
EXPORT(box) u32 box(u32 handle, u32 slot) {
    if (handle >= WORD(STATE_BOXES_ROOM)) {
        u32 room = WORD(STATE_BOXES_ROOM) * 2;
        if (room <= handle) room = handle + 1;
        if (!grow_table(STATE_DEAD, room) || !grow_table(STATE_BOXES, room)) return 0;
    }
    u32 r = WORD(WORD(STATE_BOXES) + 4 * handle);
    if (!r) {
        u32 most = BOXES_LIVE > LEAST_BOXES ? BOXES_LIVE : LEAST_BOXES;
        if (WORD(STATE_BOXES_NEW) >= most) collect();
        r = alloc(BOX_SIZE);
        if (!r) return 0;
        u32 again = WORD(WORD(STATE_BOXES) + 4 * handle); /* release() may have run Python code */
        if (again) r = again;
        else {
            WORD(STATE_BOXES_NEW)++;
            WORD(r) = EXTERN;
            WORD(r + BOX_HANDLE) = handle;
            WORD(WORD(STATE_BOXES) + 4 * handle) = r;
        }
    }
    WORD(WORD(STATE_PINS) + 4 * slot) = r;
    return r;
}

/* Zeroed memory for descriptions, never given back. */
EXPORT(reserve) u32 reserve(u32 size) { return pages(size, TABLE); }

/* Where the description of type `number` stands: 16 bytes. */
EXPORT(describe) u32 describe(u32 number) {
    u32 entry = TYPES + 4 * (number / 4096);
    if (!WORD(entry)) {
        u32 at = reserve(4096 * 16);
        if (!at) return 0;
        WORD(entry) = at;
    }
    return WORD(entry) + number % 4096 * 16;
}

/* Once, on fresh memory that is one segment long. */
EXPORT(start) void start(u32 segments) {
    WORD(STATE_LIMIT) = segments;
    TOP = 1;
    HINT = SEGMENT;
    BUDGET = LEAST_BUDGET;
}
