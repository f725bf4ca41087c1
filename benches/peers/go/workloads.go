package main

import "time"

// A workload is a row of the table.
type workload struct {
	name  string
	tasks int
	ops   int64
	// fixed: the number of tasks belongs to the work, and --tasks does not change it.
	fixed bool
	// check refuses numbers that the work cannot be done with.
	check func(tasks int, ops int64) error
	// warm does a tenth of the work; nil where there is no warm-up.
	warm func(w *workload, o options)
	run  func(tasks int, ops int64) outcome
}

// An outcome is what a workload came to.
type outcome struct {
	answer uint64
	// late holds how late each sleep or tick was; its summary is made outside the measured time.
	late []time.Duration
	// own replaces the measured times, where the contract times a part of the work.
	own  *times
	more more
	// after takes down what the work left standing, outside the measured time.
	after func()
}

// times are seconds on the clock and of the processors.
type times struct{ seconds, cpu float64 }

// more holds the members that only some workloads give.
type more struct {
	Late         *lateness `json:"late_ns,omitempty"`
	StartSeconds *float64  `json:"start_seconds,omitempty"`
	WakeSeconds  *float64  `json:"wake_seconds,omitempty"`
	BytesEach    *float64  `json:"bytes_each,omitempty"`
	Switches     *int64    `json:"switches,omitempty"`
}

// workloads is the table, in its order.
var workloads = []workload{
	{name: "spawn-join", tasks: 1000, ops: 2_000_000, warm: tenth, run: spawnJoin},
	{name: "spawn-chain", ops: 2_000_000, fixed: true, warm: tenth, run: spawnChain},
	{name: "yield", tasks: 1000, ops: 5_000_000, warm: tenth, run: yield},
	{name: "ping-pong", tasks: 2, ops: 1_000_000, fixed: true, warm: tenth, run: pingPong},
	{name: "spsc", tasks: 2, ops: 5_000_000, fixed: true, warm: tenth, run: spsc},
	{name: "mpmc", tasks: 8, ops: 4_000_000, fixed: true, warm: tenth, run: mpmc},
	{name: "mpmc-unbuffered", tasks: 8, ops: 1_000_000, fixed: true, warm: tenth, run: mpmcUnbuffered},
	{name: "fan-in", tasks: 1000, ops: 4_000_000, warm: tenth, run: fanIn},
	{name: "select2", tasks: 3, ops: 1_000_000, fixed: true, warm: tenth, run: select2},
	{name: "select8", tasks: 9, ops: 1_000_000, fixed: true, warm: tenth, run: select8},
	{name: "select2-buffered", tasks: 3, ops: 2_000_000, fixed: true, warm: tenth, run: select2Buffered},
	{name: "select8-buffered", tasks: 9, ops: 2_000_000, fixed: true, warm: tenth, run: select8Buffered},
	{name: "select-default", tasks: 1, ops: 10_000_000, fixed: true, warm: tenth, run: selectDefault},
	{name: "mutex", tasks: 100, ops: 10_000_000, warm: tenth, run: mutex},
	{name: "rwlock", tasks: 100, ops: 10_000_000, warm: tenth, run: rwlock},
	{name: "skynet", ops: 1_000_000, fixed: true, check: powerOfTen, warm: tenth, run: skynet},
	{name: "sieve", ops: 2_000, fixed: true, warm: tenth, run: sieve},
	{name: "ring", tasks: 10_000, ops: 2_000_000, check: twoTasks, warm: tenth, run: ring},
	{name: "fork-join", ops: 32, fixed: true, check: fibFits, warm: fifthLower, run: forkJoin},
	{name: "sleepers", tasks: 100_000, ops: 3, warm: tenthOfTasks, run: sleepers},
	{name: "timer", tasks: 1, ops: 3_000_000, fixed: true, warm: tenth, run: timer},
	{name: "parked", tasks: 1_000_000, ops: 1, run: parked},
	{name: "ticker-hogs", tasks: 4, ops: 3_000, warm: tenth, run: tickerHogs},
	{name: "blocking", tasks: 64, ops: 20, warm: tenth, run: blocking},
	{name: "idle", tasks: 10_000, ops: 3, run: idle},
}

// findWorkload returns the workload of that name, or nil.
func findWorkload(name string) *workload {
	for i := range workloads {
		if workloads[i].name == name {
			return &workloads[i]
		}
	}
	return nil
}

// share is the i-th of parts nearly equal shares of total.
func share(total int64, parts, i int) int64 {
	n := total / int64(parts)
	if int64(i) < total%int64(parts) {
		n++
	}
	return n
}

// tenth warms up with a tenth of the operations.
func tenth(w *workload, o options) { w.finish(o.tasks, max(o.ops/10, 1)) }

// tenthOfTasks warms up with a tenth of the tasks, where the operations are too few to divide.
func tenthOfTasks(w *workload, o options) { w.finish(max(o.tasks/10, 1), o.ops) }

// fifthLower warms up with fib(ops - 5), which is an eleventh of fib(ops).
func fifthLower(w *workload, o options) { w.finish(o.tasks, max(o.ops-5, 1)) }

// finish runs w and takes down what it leaves.
func (w *workload) finish(tasks int, ops int64) {
	if out := w.run(tasks, ops); out.after != nil {
		out.after()
	}
}
