// Calls C, which takes blocks, from Go, and from Go that C has called.
package main

/*
#include <stdlib.h>

extern void calledByC(int);

// The linker wants no definitions here that are not of this file, as some of it is copied to another.
static void *volatile kept[64];
static int count;

static __attribute__((noinline)) void take_in_c(size_t bytes) { kept[count++] = malloc(bytes); }
static __attribute__((noinline)) void call_go(int depth) { calledByC(depth); }
*/
import "C"

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

//go:noinline
func siteTakes(times int) {
	for i := 0; i < times; i++ {
		C.take_in_c(1000003)
	}
}

//export calledByC
func calledByC(depth C.int) {
	siteInCallback(int(depth))
}

//go:noinline
func siteInCallback(depth int) {
	if depth > 0 {
		C.call_go(C.int(depth - 1))
	} else {
		C.take_in_c(2000003)
	}
}

func main() {
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	in.ReadString('\n')
	siteTakes(8)
	C.call_go(2)
	said, err := json.Marshal(map[string]int{"main.siteTakes": 8 * 1000003, "main.siteInCallback": 2000003})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(said))
	in.ReadString('\n')
}
