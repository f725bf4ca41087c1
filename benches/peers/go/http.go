package main

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"strconv"
)

var (
	hello = []byte("Hello, world!")
	// Header values that all responses share; net/http only reads them.
	plainText   = []string{"text/plain"}
	helloLength = []string{strconv.Itoa(len(hello))}
)

// serveHTTP serves with net/http. The handler looks at the path itself: a ServeMux would cost more.
func serveHTTP(listener *net.TCPListener) error {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		header := w.Header()
		header["Content-Type"] = plainText
		header["Content-Length"] = helloLength
		w.Write(hello) // an error is the connection's, which the server sees itself
	}
	return http.Serve(listener, http.HandlerFunc(handler))
}

// Whole responses of the server by hand.
const (
	helloResponse = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"
	notFound      = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	badRequest    = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	headTooLarge  = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

// httpByHand serves HTTP/1.1 as fasthttp does: it parses a head where it lies in the reader's
// buffer, and writes when there is no request left to answer.
func httpByHand(conn *net.TCPConn) {
	r, w := bufio.NewReaderSize(conn, bufferSize), bufio.NewWriterSize(conn, bufferSize)
	defer w.Flush()
	for {
		head, _ := r.Peek(r.Buffered())
		request, size, found := parseHead(head)
		if !found {
			if len(head) == r.Size() {
				w.WriteString(headTooLarge)
				return
			}
			if w.Buffered() > 0 && w.Flush() != nil {
				return
			}
			if _, err := r.Peek(len(head) + 1); err != nil {
				return
			}
			continue
		}
		if request.bad {
			w.WriteString(badRequest)
			return
		}
		if request.root {
			w.WriteString(helloResponse)
		} else {
			w.WriteString(notFound)
		}
		if request.close {
			return
		}
		if _, err := r.Discard(size + request.body); err != nil {
			return
		}
	}
}

// A request is what the server has to know of a head.
type request struct {
	root, close, bad bool
	body             int
}

// parseHead reads the request at the start of b; size is the length of its head. It is found if
// the head is whole, or bad as far as it goes.
func parseHead(b []byte) (req request, size int, found bool) {
	line, rest, whole := cutLine(b)
	if !whole {
		return req, 0, false
	}
	method, target, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(target, []byte(" "))
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		req.close = true
	default:
		req.bad = true
		return req, 0, true
	}
	req.root = string(method) == "GET" && string(target) == "/"
	for {
		if line, rest, whole = cutLine(rest); !whole {
			return req, 0, false
		}
		if len(line) == 0 {
			return req, len(b) - len(rest), true
		}
		if req.field(line); req.bad {
			return req, 0, true
		}
	}
}

// cutLine takes the first line, without its end, off b.
func cutLine(b []byte) (line, rest []byte, whole bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, b, false
	}
	line, rest = b[:end], b[end+1:]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	return line, rest, true
}

// field notes a header field. Few lengths of names are of interest, so that most fields are passed
// over without a comparison.
func (req *request) field(line []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		req.bad = true
		return
	}
	name := line[:colon]
	switch len(name) {
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			value := bytes.TrimSpace(line[colon+1:])
			req.close = req.close || bytes.EqualFold(value, []byte("close"))
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(line[colon+1:])), 10, 31)
			req.body, req.bad = int(n), err != nil
		}
	case len("Transfer-Encoding"):
		// Chunked bodies are beyond this server.
		req.bad = bytes.EqualFold(name, []byte("Transfer-Encoding"))
	}
}
