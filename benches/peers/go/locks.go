package main

import "sync"

// mutex has the tasks increment a number under a sync.Mutex.
func mutex(tasks int, ops int64) outcome {
	var (
		mu      sync.Mutex
		number  uint64
		running sync.WaitGroup
	)
	for i := range tasks {
		running.Go(func() {
			for range share(ops, tasks, i) {
				mu.Lock()
				number++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return outcome{answer: number}
}

// readsPerWrite is how often a task of rwlock reads before it writes.
const readsPerWrite = 100

// rwlock has the tasks read a number under a sync.RWMutex, and at times increment it.
func rwlock(tasks int, ops int64) outcome {
	var (
		mu      sync.RWMutex
		number  uint64
		running sync.WaitGroup
	)
	done := make([]uint64, tasks)
	for i := range tasks {
		running.Go(func() {
			var did, last uint64
			for left := share(ops, tasks, i); left > 0; left-- {
				for range min(left, readsPerWrite) {
					mu.RLock()
					v := number
					mu.RUnlock()
					if v < last {
						panic("rwlock: the number fell")
					}
					last = v
					did++
				}
				if left -= readsPerWrite; left <= 0 {
					break
				}
				mu.Lock()
				number++
				mu.Unlock()
				did++
			}
			done[i] = did
		})
	}
	running.Wait()
	return outcome{answer: total(done)}
}
