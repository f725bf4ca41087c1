package main

import (
	"bytes"
	"errors"
	"strconv"
)

// Limits on a command, as Redis has them.
const (
	maxArgs = 1024 * 1024
	maxBulk = 512 * 1024 * 1024
	maxLine = 64 * 1024
)

// Errors after which a connection cannot be understood any more.
var (
	errArgs = errors.New("ERR Protocol error: invalid multibulk length")
	errBulk = errors.New("ERR Protocol error: invalid bulk length")
	errMark = errors.New("ERR Protocol error: expected '$'")
	errLine = errors.New("ERR Protocol error: too big inline request")
)

// parseCommand appends the arguments of the command at the start of b to args; they lie in b. size
// is the length of the command, or 0 if it is not whole yet. An empty line is a command without
// arguments, and a line that does not begin with an asterisk holds its arguments inline.
func parseCommand(args [][]byte, b []byte) (_ [][]byte, size int, err error) {
	if b[0] != '*' {
		line, size, err := parseLine(b)
		if size == 0 || err != nil {
			return args, 0, err
		}
		return append(args, bytes.Fields(line)...), size, nil
	}
	count, size, err := parseNumber(b, maxArgs, errArgs)
	if size == 0 || err != nil {
		return args, 0, err
	}
	for range count {
		if size == len(b) {
			return args, 0, nil
		}
		if b[size] != '$' {
			return args, 0, errMark
		}
		length, head, err := parseNumber(b[size:], maxBulk, errBulk)
		if head == 0 || err != nil {
			return args, 0, err
		}
		begin := size + head
		if size = begin + length + len("\r\n"); size > len(b) {
			return args, 0, nil
		}
		args = append(args, b[begin:begin+length])
	}
	return args, size, nil
}

// parseNumber reads the number of a line "*3\r\n" or "$3\r\n", which is at most limit.
func parseNumber(b []byte, limit int, wrong error) (n, size int, err error) {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case '0' <= c && c <= '9':
			if n = 10*n + int(c-'0'); n > limit {
				return 0, 0, wrong
			}
		case c == '\r' && i > 1:
			if i+1 == len(b) {
				return 0, 0, nil
			}
			if b[i+1] != '\n' {
				return 0, 0, wrong
			}
			return n, i + 2, nil
		default:
			return 0, 0, wrong
		}
	}
	return 0, 0, nil
}

// parseLine takes a line without its end off b.
func parseLine(b []byte) (line []byte, size int, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) > maxLine {
			return nil, 0, errLine
		}
		return nil, 0, nil
	}
	return bytes.TrimSuffix(b[:end], []byte("\r")), end + 1, nil
}

// appendBulk appends a string of any bytes.
func appendBulk(out, b []byte) []byte {
	out = appendNumber(out, '$', int64(len(b)))
	out = append(out, b...)
	return append(out, "\r\n"...)
}

// appendNumber appends a line that is a mark and a number.
func appendNumber(out []byte, mark byte, n int64) []byte {
	out = append(out, mark)
	out = strconv.AppendInt(out, n, 10)
	return append(out, "\r\n"...)
}

// appendError appends an error reply.
func appendError(out []byte, message string) []byte {
	out = append(out, '-')
	out = append(out, message...)
	return append(out, "\r\n"...)
}
