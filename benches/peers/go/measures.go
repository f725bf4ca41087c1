package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A lateness sums up how late sleeps or ticks were, in nanoseconds.
type lateness struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// summary sorts late and takes its percentiles by nearest rank; nil if there is nothing to sum up.
func summary(late []time.Duration) *lateness {
	if len(late) == 0 {
		return nil
	}
	slices.Sort(late)
	rank := func(percent int) int64 {
		return late[(len(late)*percent+99)/100-1].Nanoseconds()
	}
	return &lateness{P50: rank(50), P99: rank(99), Max: rank(100)}
}

// cpuSeconds is the processor time of the process so far, user and system.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// residentBytes is what the process holds in memory: its pages and the tables that map them.
func residentBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	return 1024 * (statusField(status, "VmRSS") + statusField(status, "VmPTE"))
}

// contextSwitches is how often the threads of the process were switched, willingly or not.
func contextSwitches() int64 {
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		panic(err)
	}
	var sum int64
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		sum += statusField(status, "voluntary_ctxt_switches")
		sum += statusField(status, "nonvoluntary_ctxt_switches")
	}
	return sum
}

// statusField is the number behind a name in a status file of /proc.
func statusField(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		key, rest, found := bytes.Cut(line, []byte(":"))
		if !found || string(key) != name {
			continue
		}
		if fields := bytes.Fields(rest); len(fields) > 0 {
			if n, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
				return n
			}
		}
	}
	panic(fmt.Sprintf("no %s in a status file", name))
}
