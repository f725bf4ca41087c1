package main

import (
	"sync/atomic"
	"time"
)

// A gathering is a crowd of tasks that wait on one channel until it is closed.
type gathering struct {
	size           int64
	gate           chan struct{}
	arrived, ended atomic.Int64
	all            chan struct{}
}

// gather starts the tasks and returns when all of them wait.
func gather(tasks int) *gathering {
	g := &gathering{size: int64(tasks), gate: make(chan struct{}), all: make(chan struct{}, 1)}
	// One function value for all: a closure for each would be an allocation for each.
	task := func() {
		if g.arrived.Add(1) == g.size {
			g.all <- struct{}{}
		}
		<-g.gate
		if g.ended.Add(1) == g.size {
			g.all <- struct{}{}
		}
	}
	for range tasks {
		go task()
	}
	<-g.all
	return g
}

// dismiss wakes all and returns how many ended, when all have.
func (g *gathering) dismiss() uint64 {
	close(g.gate)
	<-g.all
	return uint64(g.ended.Load())
}

// parked measures the time and memory that waiting tasks take.
func parked(tasks int, _ int64) outcome {
	before := residentBytes()
	cpu, begin := cpuSeconds(), time.Now()
	g := gather(tasks)
	start := time.Since(begin).Seconds()
	cpu = cpuSeconds() - cpu
	each := float64(residentBytes()-before) / float64(tasks)

	cpuWake, begin := cpuSeconds(), time.Now()
	answer := g.dismiss()
	wake := time.Since(begin).Seconds()
	cpu += cpuSeconds() - cpuWake
	return outcome{
		answer: answer,
		own:    &times{seconds: start + wake, cpu: cpu},
		more:   more{StartSeconds: &start, WakeSeconds: &wake, BytesEach: &each},
	}
}

// idle measures what waiting tasks cost while nothing happens for ops seconds.
func idle(tasks int, ops int64) outcome {
	g := gather(tasks)
	switches := contextSwitches()
	cpu, begin := cpuSeconds(), time.Now()
	time.Sleep(time.Duration(ops) * time.Second)
	seconds := time.Since(begin).Seconds()
	cpu = cpuSeconds() - cpu
	switches = contextSwitches() - switches
	return outcome{
		answer: g.dismiss(),
		own:    &times{seconds: seconds, cpu: cpu},
		more:   more{Switches: &switches},
	}
}
