/* Loaded and unloaded by pages_plugins.c. SITE, which the compiler's arguments define, is the name of its
 * function; all else is the same in each. */
#define PAGE 4096L

__attribute__((noipa)) static void SITE(char *at, long pages)
{
    for (long i = 0; i < pages; i++) {
        ((volatile char *)at)[i * PAGE] = 1;
    }
}

/* What the host looks for. */
__attribute__((visibility("default"))) void (*const plugin_work)(char *, long) = SITE;
