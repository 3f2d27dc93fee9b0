"""Run by gdb, attached to a program with judge.c: says, at each of its stops, the whole stack.

A stop is the arrival of SIGUSR2 with a value, before the handler runs. Each is a line of JSON on
stdout; the process then goes on, into its handler. The value 0 lets it go.
"""

import json
import struct
import sys

import gdb

SETTINGS = [
    # Of the expressions below, whatever the program is written in.
    "set language c",
    # To the very end: main's caller, and the function that calls that.
    "set backtrace past-main on",
    "set backtrace past-entry on",
    "set backtrace limit unlimited",
    "set width 0",
    "handle all nostop noprint pass",
    "handle SIGUSR2 stop print pass",
]

# include/linux/errno.h; see arch_do_signal_or_restart: only this one restarts the system call
# although there is a handler that does not ask for it (no SA_RESTART), by going back to it.
ERESTARTNOINTR = 513
SYSCALL_INSTRUCTION = 2


def segments(path, known={}):
    """(offset in the file, size, address) of what is to be loaded of an ELF file of 64 bits."""
    if path not in known:
        with open(path, "rb") as file:
            header = file.read(64)
            table, size, count = *struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54)
            file.seek(table)
            entries = [struct.unpack("<IIQQQQQQ", file.read(size)[:56]) for _ in range(count)]
        known[path] = [(e[2], e[5], e[3]) for e in entries if e[0] == 1]
    return known[path]


def place(mappings, pc):
    """The module, and the address as its headers count it; the plain address in what is no file."""
    for start, end, offset, name in mappings:
        if start <= pc < end:
            if not name.startswith("/"):
                return name, pc
            in_file = pc - start + offset
            for at, size, address in segments(name):
                if at <= in_file < at + size:
                    return name, in_file - at + address
    return "", pc


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/maps") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            if "x" in fields[1]:
                start, end = (int(text, 16) for text in fields[0].split("-"))
                found.append((start, end, int(fields[2], 16), fields[5] if len(fields) > 5 else ""))
    return found


def register(name):
    return int(gdb.parse_and_eval(f"(long)${name}"))


def frames(pid):
    found = []
    maps = mappings(pid)
    frame = gdb.newest_frame()
    while frame is not None:
        # What the compiler put into its caller, and calls it made jumps of, have no frame of
        # their own on the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pc = frame.pc()
            if not found and register("orig_rax") >= 0 and register("rax") == -ERESTARTNOINTR:
                pc -= SYSCALL_INSTRUCTION
            module, address = place(maps, pc)
            found.append({"module": module, "address": address, "name": frame.name()})
        last, frame = frame, frame.older()
    return found, gdb.frame_stop_reason_string(last.unwind_stop_reason())


def instruction():
    frame = gdb.newest_frame()
    try:
        return frame.architecture().disassemble(frame.pc())[0]["asm"]
    except gdb.MemoryError:
        # The page of the kernel's probes cannot be read by others.
        return "?"


def say(line):
    sys.stdout.write("judge " + json.dumps(line) + "\n")
    sys.stdout.flush()


def judge():
    pid = gdb.selected_inferior().pid
    for setting in SETTINGS:
        gdb.execute(setting, to_string=True)
    stops = []
    gdb.events.stop.connect(stops.append)
    say("attached")
    while True:
        gdb.execute("continue", to_string=True)
        stop = stops.pop()
        if getattr(stop, "stop_signal", None) != "SIGUSR2":
            raise RuntimeError(f"an unexpected stop: {stop}")
        value = int(gdb.parse_and_eval("$_siginfo._sifields._rt.si_sigval.sival_int"))
        if value == 0:
            gdb.execute("detach", to_string=True)
            return
        stack, end = frames(pid)
        say({"stop": value, "frames": stack, "end": end, "instruction": instruction()})


judge()
