package main

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// period is that of the tickers.
const period = time.Millisecond

// tick waits for the n-th tick and returns how late it came. A time.Ticker drops the ticks that
// nobody takes in time; this one is late for them.
func tick(begin time.Time, n int64) time.Duration {
	due := begin.Add(time.Duration(n) * period)
	time.Sleep(time.Until(due))
	return time.Since(due)
}

// sleepers has the tasks sleep with time.Sleep, which allocates no channel.
func sleepers(tasks int, ops int64) outcome {
	var (
		running sync.WaitGroup
		slept   atomic.Int64
	)
	late := make([]time.Duration, int64(tasks)*ops)
	running.Add(tasks)
	for i := range tasks {
		mine := late[int64(i)*ops : int64(i+1)*ops]
		go func() {
			span := time.Duration(1+i%100) * time.Millisecond
			for k := range mine {
				begin := time.Now()
				time.Sleep(span)
				mine[k] = time.Since(begin) - span
			}
			slept.Add(int64(len(mine)))
			running.Done()
		}()
	}
	running.Wait()
	return outcome{answer: uint64(slept.Load()), late: late}
}

// timer creates timers of an hour and stops them. They are of the kind that a select can wait for;
// time.AfterFunc, which has no channel, takes about a sixth less time with one processor and about
// a third less with two.
func timer(_ int, ops int64) outcome {
	var pending uint64
	for range ops {
		if time.NewTimer(time.Hour).Stop() {
			pending++
		}
	}
	return outcome{answer: pending}
}

// tickerHogs takes ticks beside tasks that never call anything and have to be preempted.
func tickerHogs(tasks int, ops int64) outcome {
	var (
		stop    atomic.Bool
		running sync.WaitGroup
	)
	counts := make([]uint64, tasks)
	for i := range tasks {
		running.Go(func() {
			var count uint64
			for !stop.Load() {
				count++
			}
			counts[i] = count
		})
	}
	late := make([]time.Duration, 0, ops)
	begin := time.Now()
	for n := range ops {
		late = append(late, tick(begin, n+1))
	}
	stop.Store(true)
	running.Wait()
	return outcome{answer: uint64(len(late)), late: late}
}

// blocking has the tasks block their threads, while a ticker goes on until the last has ended.
func blocking(tasks int, ops int64) outcome {
	var (
		slept           atomic.Int64
		stop            atomic.Bool
		sleeps, ticking sync.WaitGroup
		late            []time.Duration
	)
	ticking.Go(func() {
		begin := time.Now()
		for n := int64(1); !stop.Load(); n++ {
			late = append(late, tick(begin, n))
		}
	})
	for range tasks {
		sleeps.Go(func() {
			for range ops {
				nanosleep(10 * time.Millisecond)
				slept.Add(1)
			}
		})
	}
	sleeps.Wait()
	stop.Store(true)
	ticking.Wait()
	return outcome{answer: uint64(slept.Load()), late: late}
}

// nanosleep blocks the thread. syscall.Nanosleep is a plain syscall.Syscall, so that the scheduler
// knows of it and hands the processor on.
func nanosleep(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for {
		switch err := syscall.Nanosleep(&left, &left); err {
		case nil:
			return
		case syscall.EINTR: // a signal of the runtime's; left is what remains
		default:
			panic(err)
		}
	}
}
