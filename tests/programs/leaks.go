// Makes memory resident in functions of its own and says how much, as JSON: pages that each has touched,
// of blocks that it keeps. Without huge pages and without collections, so that these are all that come.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"
)

const page = 4096

// Larger blocks have pages of their own.
const largestSmall = 32 << 10

// PR_SET_THP_DISABLE
const disableHugePages = 41

var (
	kept     [][]byte
	elements [][]int64
	table    map[int][64]byte
	ledger   = map[string]int{}
	reached  = make(chan bool)
	never    = make(chan bool)
)

func note(name string, bytes int) {
	ledger[name] += bytes / page
}

// What the list of blocks touches is not any site's own.
//
//go:noinline
func keep(block []byte) {
	kept = append(kept, block)
}

//go:noinline
func siteWrites(bytes int) {
	block := make([]byte, bytes)
	for at := 0; at < bytes; at += page {
		block[at] = 1
	}
	keep(block)
}

// A file's content arrives in the kernel.
//
//go:noinline
func siteReads(bytes int) {
	block := make([]byte, bytes)
	file, err := os.Open("/dev/urandom")
	if err == nil {
		_, err = file.Read(block)
	}
	if err != nil {
		panic(err)
	}
	keep(block)
}

// Room that the kernel gives and Go's runtime knows nothing of.
//
//go:noinline
func siteMaps(bytes int) {
	block, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	for at := 0; at < bytes; at += page {
		block[at] = 1
	}
	keep(block)
}

//go:noinline
func siteAppends(count int) {
	var block []int64
	for i := 0; i < count; i++ {
		before := cap(block)
		block = append(block, int64(i))
		if now := 8 * cap(block); now != 8*before && now > largestSmall {
			note("main.siteAppends", now)
		}
	}
	elements = append(elements, block)
}

//go:noinline
func siteInserts(count int) {
	table = make(map[int][64]byte)
	for i := 0; i < count; i++ {
		table[i] = [64]byte{1}
	}
}

// Its stack grows from the few KiB that each goroutine begins with, as it is called more deeply.
//
//go:noinline
func siteDeep(depth int) byte {
	var room [8000]byte
	room[depth] = 1
	if depth == 0 {
		reached <- true
		<-never
		return 1
	}
	return siteDeep(depth-1) + room[(depth*7)%8000]
}

func inGoroutine(bytes int) {
	siteWrites(bytes)
	reached <- true
	<-never
}

func work() {
	siteWrites(8 << 20)
	siteReads(2 << 20)
	siteMaps(3 << 20)
	for i := 0; i < 4; i++ {
		go inGoroutine(1 << 20)
		<-reached
	}
	note("main.siteWrites", 12<<20)
	note("main.siteReads", 2<<20)
	note("main.siteMaps", 3<<20)
	siteAppends(1 << 18)
	siteInserts(20000)
	go siteDeep(60)
	<-reached
	// The least that these have to keep.
	note("main.siteInserts", len(table)*int(unsafe.Sizeof(table[0])))
	note("main.siteDeep", 60*8000)
}

// Starts again: the runtime may have been given huge pages for its first blocks already.
func withSmallPages() {
	const done = "LEAKS_SMALL_PAGES=1"
	if os.Getenv("LEAKS_SMALL_PAGES") != "" {
		return
	}
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, disableHugePages, 1, 0); err != 0 {
		panic(err)
	}
	panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), done)))
}

func main() {
	withSmallPages()
	debug.SetGCPercent(-1)
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	in.ReadString('\n')
	work()
	said, err := json.Marshal(ledger)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(said))
	in.ReadString('\n')
}
