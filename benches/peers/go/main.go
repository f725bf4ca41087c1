// Command peer does the workloads of benches/peers/README.md in Go, and serves its servers.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Exit statuses: the caller's mistake, and a failure of the program's own.
const (
	statusUsage  = 2
	statusFailed = 1
)

const usage = `usage: peer WORKLOAD --procs P [--tasks T] [--ops N]
       peer SERVER --procs P [--addr HOST:PORT]
       peer list
`

// options are what the command line says.
type options struct {
	procs, tasks int
	ops          int64
	addr         string
}

// report is the line that a workload prints.
type report struct {
	Runtime    string  `json:"runtime"`
	Version    string  `json:"version"`
	Workload   string  `json:"workload"`
	Procs      int     `json:"procs"`
	Tasks      int     `json:"tasks"`
	Ops        int64   `json:"ops"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Answer     uint64  `json:"answer"`
	more
}

func main() {
	if len(os.Args) < 2 {
		refuse("no workload named")
	}
	name, args := os.Args[1], os.Args[2:]
	switch name {
	case "list":
		if len(args) > 0 {
			refuse("list takes no arguments")
		}
		list()
		return
	case "-h", "--help", "help":
		fmt.Print(usage)
		return
	}
	if strings.HasPrefix(name, "serve-") {
		s := findServer(name)
		if s == nil {
			refuse("no server is called %q", name)
		}
		o := parse(name, args, 0, 0, true)
		runtime.GOMAXPROCS(o.procs)
		if err := listenAndServe(o.addr, s.serve); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(statusFailed)
		}
		return
	}
	w := findWorkload(name)
	if w == nil {
		refuse("no workload is called %q", name)
	}
	o := parse(name, args, w.tasks, w.ops, false)
	if w.fixed {
		o.tasks = w.tasks
	}
	if w.check != nil {
		if err := w.check(o.tasks, o.ops); err != nil {
			refuse("%s: %v", name, err)
		}
	}
	runtime.GOMAXPROCS(o.procs)
	if err := json.NewEncoder(os.Stdout).Encode(measure(w, o)); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(statusFailed)
	}
}

// measure warms up, does the work, and says what it took. It runs on the main goroutine, which is a
// goroutine like any other once main has begun.
func measure(w *workload, o options) report {
	if w.warm != nil {
		w.warm(w, o)
	}
	cpu, begin := cpuSeconds(), time.Now()
	out := w.run(o.tasks, o.ops)
	seconds := time.Since(begin).Seconds()
	cpu = cpuSeconds() - cpu
	if out.after != nil {
		out.after()
	}
	if out.own != nil {
		seconds, cpu = out.own.seconds, out.own.cpu
	}
	m := out.more
	m.Late = summary(out.late)
	return report{
		Runtime: "go", Version: runtime.Version(), Workload: w.name,
		Procs: o.procs, Tasks: o.tasks, Ops: o.ops,
		Seconds: seconds, CPUSeconds: cpu, Answer: out.answer, more: m,
	}
}

// parse reads the options of a workload, whose numbers default to the table's, or of a server.
func parse(name string, args []string, tasks int, ops int64, server bool) options {
	var o options
	flags := flag.NewFlagSet("peer "+name, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	flags.IntVar(&o.procs, "procs", 0, "processors")
	if server {
		flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "address to listen on")
	} else {
		flags.IntVar(&o.tasks, "tasks", tasks, "tasks")
		flags.Int64Var(&o.ops, "ops", ops, "operations")
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	} else if err != nil {
		os.Exit(statusUsage)
	}
	switch {
	case flags.NArg() > 0:
		refuse("unexpected argument %q", flags.Arg(0))
	case o.procs < 1:
		refuse("--procs has to be 1 or more")
	case !server && (o.ops < 1 || o.tasks < 1 && tasks > 0 || o.tasks < 0):
		refuse("--tasks and --ops have to be 1 or more")
	}
	return o
}

// refuse says what is wrong with the arguments and ends the program.
func refuse(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "peer: "+format+"\n%s", append(args, usage)...)
	os.Exit(statusUsage)
}

// list prints the names of all workloads and servers.
func list() {
	for i := range workloads {
		fmt.Println(workloads[i].name)
	}
	for i := range servers {
		fmt.Println(servers[i].name)
	}
}
