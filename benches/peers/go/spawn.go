package main

import (
	"errors"
	"runtime"
	"sync"
)

// A batch is what the tasks of one batch of spawn-join share: a slot for each, and who is still out.
type batch struct {
	results []uint64
	running sync.WaitGroup
}

// task returns its number, by way of its slot.
func (b *batch) task(i int) {
	b.results[i] = uint64(i)
	b.running.Done()
}

// spawnJoin spawns batches of tasks. Go has no value to join for: each goroutine writes its own slot
// of a slice, which a WaitGroup guards. One Add for all is cheaper than a WaitGroup.Go for each.
func spawnJoin(tasks int, ops int64) outcome {
	var sum uint64
	b := &batch{results: make([]uint64, tasks)}
	for left := ops; left > 0; {
		n := int(min(left, int64(tasks)))
		left -= int64(n)
		b.running.Add(n)
		for i := range n {
			go b.task(i)
		}
		b.running.Wait()
		for _, result := range b.results[:n] {
			sum += result
		}
	}
	return outcome{answer: sum}
}

// link is a task of spawn-chain: it counts itself, and spawns the next or is the last.
func link(left int64, made uint64, done chan<- uint64) {
	if left == 1 {
		done <- made + 1
		return
	}
	go link(left-1, made+1, done)
}

// spawnChain has each task spawn the next; the last sends on a channel.
func spawnChain(_ int, ops int64) outcome {
	done := make(chan uint64)
	go link(ops, 0, done)
	return outcome{answer: <-done}
}

// yield lets the tasks take turns with runtime.Gosched.
func yield(tasks int, ops int64) outcome {
	var running sync.WaitGroup
	counts := make([]uint64, tasks)
	running.Add(tasks)
	for i := range tasks {
		go func() {
			var count uint64
			for range share(ops, tasks, i) {
				runtime.Gosched()
				count++
			}
			counts[i] = count
			running.Done()
		}()
	}
	running.Wait()
	return outcome{answer: total(counts)}
}

// total adds up what tasks left in their slots.
func total(slots []uint64) uint64 {
	var sum uint64
	for _, slot := range slots {
		sum += slot
	}
	return sum
}

// powerOfTen is the number of leaves that skynet can have.
func powerOfTen(_ int, ops int64) error {
	for ; ops%10 == 0; ops /= 10 {
	}
	if ops != 1 {
		return errors.New("--ops has to be a power of ten")
	}
	return nil
}

// skynet sums up the leaves of a tree of tasks. An inner task's channel has room for its ten
// children, so that none of them has to wait.
func skynet(_ int, ops int64) outcome {
	root := make(chan uint64, 1)
	go node(root, 0, uint64(ops))
	return outcome{answer: <-root}
}

// node is a task of skynet: the tree over the leaves first .. first + leaves.
func node(up chan<- uint64, first, leaves uint64) {
	if leaves == 1 {
		up <- first
		return
	}
	const children = 10
	sums := make(chan uint64, children)
	each := leaves / children
	for i := range uint64(children) {
		go node(sums, first+i*each, each)
	}
	var sum uint64
	for range children {
		sum += <-sums
	}
	up <- sum
}

// cutoff is the last number whose fib is not worth a task.
const cutoff = 12

// fibFits refuses numbers whose fib has more than 64 bits.
func fibFits(_ int, ops int64) error {
	if ops > 93 {
		return errors.New("--ops has to be 93 or less")
	}
	return nil
}

// forkJoin computes fib(ops) by recursion that forks.
func forkJoin(_ int, ops int64) outcome {
	return outcome{answer: forkFib(uint64(ops))}
}

// A forked computation, and the join of it. One allocation for both; joining by a WaitGroup is
// cheaper than by a channel, which has a lock and a buffer.
type forked struct {
	value   uint64
	running sync.WaitGroup
}

// run is the task.
func (f *forked) run(n uint64) {
	f.value = forkFib(n)
	f.running.Done()
}

// forkFib spawns fib(n-1) and does fib(n-2) itself.
func forkFib(n uint64) uint64 {
	if n <= cutoff {
		return fib(n)
	}
	f := new(forked)
	f.running.Add(1)
	go f.run(n - 1)
	value := forkFib(n - 2)
	f.running.Wait()
	return f.value + value
}

// fib is the recursion without tasks.
func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}
