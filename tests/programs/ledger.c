/* See ledger.h. */
#include "ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { SITES = 256, NAME = 48, SLOTS = 1 << 22 };

struct weight {
    uint64_t bytes, count;
};

struct ledger_site {
    char name[NAME];
    struct weight taken, given;
};

struct slot {
    uintptr_t block; /* 0: empty */
    struct ledger_site *site;
    size_t size;
};

static struct ledger_site sites[SITES];
static unsigned site_count;
static struct slot slots[SLOTS];
static unsigned used;
static int started;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void put(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, text, length);
        if (written <= 0) {
            _exit(1);
        }
        text += written;
        length -= (size_t)written;
    }
}

/* Reads up to the next newline; false at the end of input. */
static int wait_for_line(void)
{
    char byte;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &byte, 1)) != 0) {
        if (got == 1 && byte == '\n') {
            return 1;
        }
    }
    return 0;
}

void ledger_fail(const char *message)
{
    if (write(STDERR_FILENO, message, strlen(message)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

struct ledger_site *ledger_site(const char *name)
{
    pthread_mutex_lock(&lock);
    unsigned i = 0;
    while (i < site_count && strcmp(sites[i].name, name) != 0) {
        i++;
    }
    if (i == site_count) {
        if (i == SITES || strlen(name) >= NAME) {
            ledger_fail("the ledger has no room for another site");
        }
        strcpy(sites[i].name, name);
        site_count++;
    }
    pthread_mutex_unlock(&lock);
    return &sites[i];
}

static size_t home(uintptr_t block)
{
    return (size_t)(((uint64_t)block >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 42) & (SLOTS - 1);
}

static struct slot *find(uintptr_t block)
{
    size_t i = home(block);
    while (slots[i].block != 0 && slots[i].block != block) {
        i = (i + 1) & (SLOTS - 1);
    }
    return &slots[i];
}

static void insert(uintptr_t block, struct ledger_site *site, size_t size)
{
    struct slot *slot = find(block);
    if (slot->block == block) {
        ledger_fail("the allocator returned a block that is in use");
    }
    if (++used > SLOTS / 4 * 3) {
        ledger_fail("the ledger has no room for another block");
    }
    slot->block = block;
    slot->site = site;
    slot->size = size;
}

/* Linear probing without tombstones: the slots that follow move back. */
static void erase(struct slot *slot)
{
    size_t hole = (size_t)(slot - slots);
    for (size_t i = (hole + 1) & (SLOTS - 1); slots[i].block != 0; i = (i + 1) & (SLOTS - 1)) {
        size_t distance = (i - home(slots[i].block)) & (SLOTS - 1);
        if (distance >= ((i - hole) & (SLOTS - 1))) {
            slots[hole] = slots[i];
            hole = i;
        }
    }
    slots[hole].block = 0;
    used--;
}

void ledger_take(struct ledger_site *site, void *block, size_t size)
{
    if (!started) {
        return;
    }
    pthread_mutex_lock(&lock);
    site->taken.bytes += size;
    site->taken.count++;
    insert((uintptr_t)block, site, size);
    pthread_mutex_unlock(&lock);
}

struct ledger_aside ledger_set_aside(void *block)
{
    struct ledger_aside aside = {block, NULL, 0};
    if (!block) {
        return aside;
    }
    pthread_mutex_lock(&lock);
    struct slot *slot = find((uintptr_t)block);
    if (slot->block != 0) {
        aside.site = slot->site;
        aside.size = slot->size;
        erase(slot);
    }
    pthread_mutex_unlock(&lock);
    return aside;
}

void ledger_put_back(const struct ledger_aside *aside)
{
    if (aside->site) {
        pthread_mutex_lock(&lock);
        insert((uintptr_t)aside->block, aside->site, aside->size);
        pthread_mutex_unlock(&lock);
    }
}

void ledger_end(const struct ledger_aside *aside)
{
    if (aside->site) {
        pthread_mutex_lock(&lock);
        aside->site->given.bytes += aside->size;
        aside->site->given.count++;
        pthread_mutex_unlock(&lock);
    }
}

void ledger_give(void *block)
{
    struct ledger_aside aside = ledger_set_aside(block);
    ledger_end(&aside);
}

size_t ledger_product(size_t n, size_t size)
{
    size_t product;
    return __builtin_mul_overflow(n, size, &product) ? SIZE_MAX : product;
}

void ledger_start(void)
{
    put("ready\n", 6);
    if (!wait_for_line()) {
        ledger_fail("the input ended before the line that starts the workload");
    }
    started = 1;
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_number(uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put(digits + at, sizeof digits - at);
}

static void put_weight(const char *name, uint64_t bytes, uint64_t count)
{
    put_text("\"");
    put_text(name);
    put_text("\":{\"bytes\":");
    put_number(bytes);
    put_text(",\"count\":");
    put_number(count);
    put_text("}");
}

void ledger_finish(void)
{
    put_text("{\"sites\":{");
    for (unsigned i = 0; i < site_count; i++) {
        const struct ledger_site *site = &sites[i];
        put_text(i > 0 ? ",\"" : "\"");
        put_text(site->name);
        put_text("\":{");
        put_weight("taken", site->taken.bytes, site->taken.count);
        put_text(",");
        put_weight("given_back", site->given.bytes, site->given.count);
        put_text(",");
        put_weight("outstanding", site->taken.bytes - site->given.bytes,
                   site->taken.count - site->given.count);
        put_text("}");
    }
    put_text("}}\n");
    wait_for_line();
    _exit(0);
}
