package main

import "testing"

// sumOfShares is what senders of 0 .. share(ops, parts, i) send altogether.
func sumOfShares(ops int64, parts int) uint64 {
	var sum uint64
	for i := range parts {
		n := uint64(share(ops, parts, i))
		sum += n * (n - 1) / 2
	}
	return sum
}

// TestAnswers does each workload small, with a last batch or share that is not a full one.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		tasks  int
		ops    int64
		answer uint64
	}{
		"spawn-join":       {10, 1003, 100*45 + 3},
		"spawn-chain":      {0, 1000, 1000},
		"yield":            {7, 1000, 1000},
		"ping-pong":        {2, 1000, 1000},
		"spsc":             {2, 1000, 499500},
		"mpmc":             {8, 1003, sumOfShares(1003, 4)},
		"mpmc-unbuffered":  {8, 1003, sumOfShares(1003, 4)},
		"fan-in":           {7, 1000, sumOfShares(1000, 7)},
		"select2":          {3, 1001, sumOfShares(1001, 2)},
		"select8":          {9, 1001, sumOfShares(1001, 8)},
		"select2-buffered": {3, 1001, sumOfShares(1001, 2)},
		"select8-buffered": {9, 1001, sumOfShares(1001, 8)},
		"select-default":   {1, 1000, 1000},
		"mutex":            {7, 1000, 1000},
		"rwlock":           {3, 1000, 1000},
		"skynet":           {0, 1000, 499500},
		"sieve":            {0, 100, 541},
		"ring":             {7, 1000, 1000},
		"fork-join":        {0, 20, 6765},
		"sleepers":         {200, 2, 400},
		"timer":            {1, 1000, 1000},
		"parked":           {1000, 1, 1000},
		"ticker-hogs":      {4, 20, 20},
		"blocking":         {4, 2, 8},
		"idle":             {100, 1, 100},
	} {
		t.Run(name, func(t *testing.T) {
			out := findWorkload(name).run(c.tasks, c.ops)
			if out.after != nil {
				out.after()
			}
			if out.answer != c.answer {
				t.Errorf("answer is %d, not %d", out.answer, c.answer)
			}
		})
	}
}
