package main

import (
	"errors"
	"hash/maphash"
	"math"
	"net"
	"strconv"
	"sync"
)

// shards is how many locks a store has.
const shards = 64

// A store is a map in shards.
type store struct {
	seed   maphash.Seed
	shards [shards]shard
}

// A shard is a part of the map and its lock, which is held for a lookup and a copy and never while
// anything blocks; that short, a Mutex is as good as an RWMutex.
type shard struct {
	mu     sync.Mutex
	values map[string]*value
	_      [48]byte // a cache line each
}

// A value can be replaced without a new key and a new entry.
type value struct{ bytes []byte }

// replace copies b into v, in the memory it has if that is not far too much.
func (v *value) replace(b []byte) {
	if cap(v.bytes) > 4*len(b)+64 {
		v.bytes = nil
	}
	v.bytes = append(v.bytes[:0], b...)
}

// newStore makes an empty store.
func newStore() *store {
	s := &store{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].values = make(map[string]*value)
	}
	return s
}

// shard is where key belongs.
func (s *store) shard(key []byte) *shard {
	return &s.shards[maphash.Bytes(s.seed, key)%shards]
}

// get appends the reply with the value of key.
func (s *store) get(out, key []byte) []byte {
	sh := s.shard(key)
	sh.mu.Lock()
	v := sh.values[string(key)]
	if v == nil {
		sh.mu.Unlock()
		return append(out, "$-1\r\n"...)
	}
	out = appendBulk(out, v.bytes)
	sh.mu.Unlock()
	return out
}

// set stores a copy of b under key.
func (s *store) set(key, b []byte) {
	sh := s.shard(key)
	sh.mu.Lock()
	v := sh.values[string(key)]
	if v == nil {
		v = new(value)
		sh.values[string(key)] = v
	}
	v.replace(b)
	sh.mu.Unlock()
}

// del removes key and says whether it was there.
func (s *store) del(key []byte) bool {
	sh := s.shard(key)
	sh.mu.Lock()
	_, found := sh.values[string(key)]
	delete(sh.values, string(key))
	sh.mu.Unlock()
	return found
}

// errNotInteger is the reply where no number can be incremented.
var errNotInteger = errors.New("ERR value is not an integer or out of range")

// incr adds one to the number under key.
func (s *store) incr(key []byte) (int64, error) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	v := sh.values[string(key)]
	if v == nil {
		v = &value{bytes: []byte("0")}
		sh.values[string(key)] = v
	}
	n, err := strconv.ParseInt(string(v.bytes), 10, 64)
	if err != nil || n == math.MaxInt64 {
		return 0, errNotInteger
	}
	n++
	v.bytes = strconv.AppendInt(v.bytes[:0], n, 10)
	return n, nil
}

// serveKV serves a store to all connections.
func serveKV(listener *net.TCPListener) error {
	s := newStore()
	return perConnection(func(conn *net.TCPConn) { kv(conn, s) })(listener)
}

// kv speaks RESP with a client. Commands are parsed where they lie in the buffer, which grows if one
// is longer; the replies to all that was read at once go out in one write.
func kv(conn *net.TCPConn, s *store) {
	var (
		in         = make([]byte, bufferSize)
		out        = make([]byte, 0, bufferSize)
		args       [][]byte
		start, end int // what is read and not yet parsed
	)
	for {
		var size int
		var err error
		for start < end {
			args, size, err = parseCommand(args[:0], in[start:end])
			if err != nil || size == 0 {
				break
			}
			start += size
			if len(args) > 0 {
				out = s.answer(out, args)
			}
		}
		if err != nil {
			out = appendError(out, err.Error())
		}
		if len(out) > 0 {
			if _, failed := conn.Write(out); failed != nil {
				return
			}
			if out = out[:0]; cap(out) > 64*bufferSize {
				out = make([]byte, 0, bufferSize)
			}
		}
		if err != nil {
			return
		}
		if start == end {
			start, end = 0, 0
			if len(in) > 64*bufferSize {
				in = make([]byte, bufferSize)
			}
		} else if end == len(in) {
			if start == 0 {
				in = append(in, make([]byte, len(in))...)
			}
			start, end = 0, copy(in, in[start:end])
		}
		n, failed := conn.Read(in[end:])
		if failed != nil {
			return
		}
		end += n
	}
}

// answer does a command and appends the reply to out.
func (s *store) answer(out []byte, args [][]byte) []byte {
	var upper [8]byte
	name := args[0]
	if len(name) <= len(upper) {
		name = upper[:copy(upper[:], name)]
		for i, c := range name {
			if 'a' <= c && c <= 'z' {
				name[i] = c - ('a' - 'A')
			}
		}
	}
	switch string(name) {
	case "GET":
		if len(args) == 2 {
			return s.get(out, args[1])
		}
	case "SET":
		if len(args) == 3 {
			s.set(args[1], args[2])
			return append(out, "+OK\r\n"...)
		}
		if len(args) > 3 {
			return appendError(out, "ERR syntax error")
		}
	case "PING":
		switch len(args) {
		case 1:
			return append(out, "+PONG\r\n"...)
		case 2:
			return appendBulk(out, args[1])
		}
	case "INCR":
		if len(args) == 2 {
			n, err := s.incr(args[1])
			if err != nil {
				return appendError(out, err.Error())
			}
			return appendNumber(out, ':', n)
		}
	case "DEL":
		if len(args) >= 2 {
			var removed int64
			for _, key := range args[1:] {
				if s.del(key) {
					removed++
				}
			}
			return appendNumber(out, ':', removed)
		}
	case "CONFIG", "COMMAND":
		return append(out, "*0\r\n"...)
	default:
		return appendError(out, "ERR unknown command")
	}
	return appendError(out, "ERR wrong number of arguments")
}
