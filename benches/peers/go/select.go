package main

// feeders starts a sender for each of width channels of that capacity.
func feeders(width, capacity int, ops int64) []chan uint64 {
	chans := make([]chan uint64, width)
	for i := range chans {
		chans[i] = make(chan uint64, capacity)
		go send(chans[i], share(ops, width, i))
	}
	return chans
}

func select2(_ int, ops int64) outcome { return selectOver2(0, ops) }

func select8(_ int, ops int64) outcome { return selectOver8(0, ops) }

func select2Buffered(_ int, ops int64) outcome { return selectOver2(128, ops) }

func select8Buffered(_ int, ops int64) outcome { return selectOver8(128, ops) }

// selectOver2 receives from two senders by one select.
func selectOver2(capacity int, ops int64) outcome {
	chans := feeders(2, capacity, ops)
	a, b := chans[0], chans[1]
	var sum, v uint64
	for range ops {
		select {
		case v = <-a:
		case v = <-b:
		}
		sum += v
	}
	return outcome{answer: sum}
}

// selectOver8 receives from eight senders by one select.
func selectOver8(capacity int, ops int64) outcome {
	chans := feeders(8, capacity, ops)
	a, b, c, d := chans[0], chans[1], chans[2], chans[3]
	e, f, g, h := chans[4], chans[5], chans[6], chans[7]
	var sum, v uint64
	for range ops {
		select {
		case v = <-a:
		case v = <-b:
		case v = <-c:
		case v = <-d:
		case v = <-e:
		case v = <-f:
		case v = <-g:
		case v = <-h:
		}
		sum += v
	}
	return outcome{answer: sum}
}

// selectDefault polls two channels that stay empty.
func selectDefault(_ int, ops int64) outcome {
	a, b := make(chan uint64, 1), make(chan uint64, 1)
	var defaults uint64
	for range ops {
		select {
		case <-a:
		case <-b:
		default:
			defaults++
		}
	}
	return outcome{answer: defaults}
}
