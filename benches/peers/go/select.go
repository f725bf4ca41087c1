package main

// feeders starts a sender for each of width unbuffered channels.
func feeders(width int, ops int64) []chan uint64 {
	chans := make([]chan uint64, width)
	for i := range chans {
		chans[i] = make(chan uint64)
		go send(chans[i], share(ops, width, i))
	}
	return chans
}

// select2 receives from two senders by one select.
func select2(_ int, ops int64) outcome {
	chans := feeders(2, ops)
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

// select8 receives from eight senders by one select.
func select8(_ int, ops int64) outcome {
	chans := feeders(8, ops)
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
