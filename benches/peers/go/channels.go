package main

import (
	"errors"
	"sync"
	"sync/atomic"
)

// send sends 0 .. n.
func send(ch chan<- uint64, n int64) {
	for v := range uint64(n) {
		ch <- v
	}
}

// sum receives until ch is closed and adds up.
func sum(ch <-chan uint64) uint64 {
	var sum uint64
	for v := range ch {
		sum += v
	}
	return sum
}

// pingPong has two tasks pass a number there and back.
func pingPong(_ int, ops int64) outcome {
	there, back := make(chan uint64), make(chan uint64)
	last := make(chan uint64)
	go func() {
		for v := range there {
			back <- v + 1
		}
	}()
	go func() {
		var v uint64
		for range ops {
			there <- v
			v = <-back
		}
		close(there)
		last <- v
	}()
	return outcome{answer: <-last}
}

// spsc has one task send to another through a buffer; closing ends it.
func spsc(_ int, ops int64) outcome {
	ch, result := make(chan uint64, 128), make(chan uint64)
	go func() { result <- sum(ch) }()
	go func() {
		send(ch, ops)
		close(ch)
	}()
	return outcome{answer: <-result}
}

// mpmc has four senders and four receivers share a buffer.
func mpmc(tasks int, ops int64) outcome { return crowd(tasks, ops, 128) }

// mpmcUnbuffered has four senders meet four receivers.
func mpmcUnbuffered(tasks int, ops int64) outcome { return crowd(tasks, ops, 0) }

// crowd is half senders and half receivers. The body closes the channel when all is sent.
func crowd(tasks int, ops int64, capacity int) outcome {
	ch := make(chan uint64, capacity)
	half := tasks / 2
	sums := make([]uint64, half)
	var senders, receivers sync.WaitGroup
	for i := range half {
		receivers.Go(func() { sums[i] = sum(ch) })
		senders.Go(func() { send(ch, share(ops, half, i)) })
	}
	senders.Wait()
	close(ch)
	receivers.Wait()
	return outcome{answer: total(sums)}
}

// fanIn has many tasks send to the body, until a last one that waits for them closes the channel.
func fanIn(tasks int, ops int64) outcome {
	ch := make(chan uint64, 1024)
	var senders sync.WaitGroup
	senders.Add(tasks)
	for i := range tasks {
		go func() {
			send(ch, share(ops, tasks, i))
			senders.Done()
		}()
	}
	go func() {
		senders.Wait()
		close(ch)
	}()
	return outcome{answer: sum(ch)}
}

// sieve is the prime sieve of the Go tutorial. The clock stops at the last prime; after it the
// generator is told to stop, and the row of filters closes from its head.
func sieve(_ int, ops int64) outcome {
	var stop atomic.Bool
	ch := make(chan uint64)
	go func(out chan<- uint64) {
		for v := uint64(2); !stop.Load(); v++ {
			out <- v
		}
		close(out)
	}(ch)
	prime := <-ch
	for range ops - 1 {
		next := make(chan uint64)
		go filter(ch, next, prime)
		ch = next
		prime = <-ch
	}
	return outcome{answer: prime, after: func() {
		stop.Store(true)
		for range ch {
		}
	}}
}

// filter passes on what prime does not divide.
func filter(in <-chan uint64, out chan<- uint64, prime uint64) {
	for v := range in {
		if v%prime != 0 {
			out <- v
		}
	}
	close(out)
}

// twoTasks is the least that makes a ring.
func twoTasks(tasks int, _ int64) error {
	if tasks < 2 {
		return errors.New("--tasks has to be 2 or more")
	}
	return nil
}

// ring passes a number around. The clock stops with the last hop, whose task begins to close the
// ring: each task ends when the one before it has, and closes the channel to the next.
func ring(tasks int, ops int64) outcome {
	var running sync.WaitGroup
	last := make(chan uint64)
	first := make(chan uint64)
	running.Add(tasks)
	in := first
	for i := range tasks {
		out := first
		if i < tasks-1 {
			out = make(chan uint64)
		}
		go pass(in, out, last, uint64(ops), &running)
		in = out
	}
	first <- 0
	return outcome{answer: <-last, after: running.Wait}
}

// pass is a task of the ring: it adds one for the hop that brought it the number.
func pass(in <-chan uint64, out, last chan<- uint64, ops uint64, running *sync.WaitGroup) {
	defer running.Done()
	defer close(out)
	for v := range in {
		if v++; v == ops {
			last <- v
			return
		}
		out <- v
	}
}
