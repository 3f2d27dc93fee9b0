/* Functions of one instruction before their return, and a few of more. Calls the one that the argument names when a line comes, and says whether
 * the kernel has then made room in this process for instructions that it executes elsewhere. */
#include <stdio.h>
#include <string.h>

#define INSTRUCTION(name, text)                                                                    \
    void name(void);                                                                               \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" text               \
            "\nret\n.size " #name ", . - " #name "\n")

INSTRUCTION(push_rbp, "push %rbp; pop %rbp");
INSTRUCTION(push_r12, "push %r12; pop %r12");
INSTRUCTION(push_constant, "push $1; pop %rax");
INSTRUCTION(jmp_near, "jmp 1f; 1:");
INSTRUCTION(jmp_far, ".byte 0xe9, 0, 0, 0, 0");
INSTRUCTION(je_near, "je 1f; 1:");
INSTRUCTION(je_far, ".byte 0x0f, 0x84, 0, 0, 0, 0");
INSTRUCTION(call_next, "call 1f; 1: pop %rax");
INSTRUCTION(nop_1, "nop");
INSTRUCTION(nop_2, ".byte 0x66, 0x90");
INSTRUCTION(nop_3, ".byte 0x0f, 0x1f, 0x00");
INSTRUCTION(nop_4, ".byte 0x0f, 0x1f, 0x40, 0x00");
INSTRUCTION(nop_6, ".byte 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00");
INSTRUCTION(nop_7, ".byte 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00");
INSTRUCTION(nop_8, ".byte 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00");
INSTRUCTION(endbr64, "endbr64");
INSTRUCTION(test, "test %rdi, %rdi");
INSTRUCTION(cmp, "cmp $1, %rdi");
INSTRUCTION(mov, "mov %rdi, %rax");
INSTRUCTION(lea, "lea 8(%rdi), %rax");
INSTRUCTION(sub, "sub $8, %rsp; add $8, %rsp");
INSTRUCTION(pop, "pop %rax; push %rax");
INSTRUCTION(only_ret, "");
/* The third byte, and the fourth, are where a probe goes on the return: a nop, before and after something has been pushed. */
INSTRUCTION(inside, "test %rdi, %rdi; nop");
INSTRUCTION(after_push, "mov %rbx, %r11; push %rbx; nop; pop %rbx; mov %r11, %rbx");

#define FUNCTION(name) {#name, name}

static const struct {
    const char *name;
    void (*call)(void);
} functions[] = {
    FUNCTION(push_rbp), FUNCTION(push_r12), FUNCTION(push_constant), FUNCTION(jmp_near),
    FUNCTION(jmp_far),  FUNCTION(je_near),  FUNCTION(je_far),        FUNCTION(call_next),
    FUNCTION(nop_1),    FUNCTION(nop_2),    FUNCTION(nop_3),         FUNCTION(nop_4),
    FUNCTION(nop_6),    FUNCTION(nop_7),    FUNCTION(nop_8),         FUNCTION(endbr64),
    FUNCTION(test),     FUNCTION(cmp),      FUNCTION(mov),           FUNCTION(lea),
    FUNCTION(sub),      FUNCTION(pop),      FUNCTION(only_ret),
    FUNCTION(inside),   FUNCTION(after_push),
};

/* Linux maps a page for them at the first one (`xol_area`, kernel/events/uprobes.c). */
static int is_there_room(void)
{
    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        found |= strstr(line, "[uprobes]\n") != NULL;
    }
    return maps && fclose(maps) == 0 ? found : -1;
}

int main(int count, char **arguments)
{
    for (size_t index = 0; count == 2 && index < sizeof functions / sizeof *functions; index++) {
        if (strcmp(functions[index].name, arguments[1]) == 0) {
            puts("ready");
            fflush(stdout);
            getchar();
            functions[index].call();
            printf("%d\n", is_there_room());
            return 0;
        }
    }
    return 2;
}
