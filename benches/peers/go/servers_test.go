package main

import (
	"io"
	"net"
	"strings"
	"testing"
)

// exchange sends a conversation to a server in pieces of some bytes, ends its side, and returns all
// that comes back.
func exchange(t *testing.T, serve func(*net.TCPListener) error, sent string, piece int) string {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serve(listener)
	conn, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for sent := []byte(sent); len(sent) > 0; {
			n, err := conn.Write(sent[:min(piece, len(sent))])
			if err != nil {
				return
			}
			sent = sent[n:]
		}
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// pieces are sizes in which conversations are sent.
var pieces = []int{1, 7, 1 << 20}

// TestEcho sends more than a buffer.
func TestEcho(t *testing.T) {
	sent := strings.Repeat("Hello, world! ", 1000)
	for _, piece := range []int{1000, 1 << 20} {
		if got := exchange(t, findServer("serve-echo").serve, sent, piece); got != sent {
			t.Errorf("in pieces of %d: %d bytes came back of %d", piece, len(got), len(sent))
		}
	}
}

// TestHTTP pipelines requests to both servers and looks for the status lines in order.
func TestHTTP(t *testing.T) {
	sent := "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n" +
		"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n\r\nabcde" +
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for _, name := range []string{"serve-http", "serve-http=hand"} {
		for _, piece := range pieces {
			got := exchange(t, findServer(name).serve, sent, piece)
			var statuses []string
			for _, line := range strings.Split(got, "\r\n") {
				line = strings.TrimPrefix(line, "Hello, world!")
				line = strings.TrimPrefix(line, "404 page not found\n")
				if strings.HasPrefix(line, "HTTP/1.1 ") {
					statuses = append(statuses, line[9:12])
				}
			}
			if s := strings.Join(statuses, " "); s != "200 404 200" {
				t.Errorf("%s in pieces of %d: statuses are %s in\n%s", name, piece, s, got)
			}
			if n := strings.Count(got, "Content-Type: text/plain\r\n"); n != 2 {
				t.Errorf("%s in pieces of %d: %d content types", name, piece, n)
			}
		}
	}
}

// TestBadHeads sends what the server by hand cannot answer.
func TestBadHeads(t *testing.T) {
	for sent, status := range map[string]string{
		"GET /\r\n\r\n":                             "400",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n":        "400",
		"GET / HTTP/1.1\r\nContent-Length: x\r\n\n": "400",
		strings.Repeat("a", bufferSize):             "431",
	} {
		got := exchange(t, findServer("serve-http=hand").serve, sent, 1<<20)
		if !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%q got %q", sent, got)
		}
	}
}

// TestKV pipelines a conversation.
func TestKV(t *testing.T) {
	long := strings.Repeat("v", 10_000)
	talk := [][2]string{
		{"PING\r\n", "+PONG\r\n"},
		{"*1\r\n$4\r\nping\r\n", "+PONG\r\n"},
		{"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n", "+OK\r\n"},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$3\r\na\r\n\r\n"},
		{"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$10000\r\n" + long + "\r\n", "+OK\r\n"},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$10000\r\n" + long + "\r\n"},
		{"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n", "-ERR value is not an integer or out of range\r\n"},
		{"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", ":1\r\n"},
		{"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", ":2\r\n"},
		{"*4\r\n$3\r\nDEL\r\n$1\r\nk\r\n$1\r\nn\r\n$1\r\nx\r\n", ":2\r\n"},
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$-1\r\n"},
		{"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\nsave\r\n", "*0\r\n"},
		{"*1\r\n$7\r\nCOMMAND\r\n", "*0\r\n"},
		{"*1\r\n$3\r\nGET\r\n", "-ERR wrong number of arguments\r\n"},
		{"\r\n", ""},
		{"*1\r\n$4\r\nNOPE\r\n", "-ERR unknown command\r\n"},
		{"*1\r\n!", "-ERR Protocol error: expected '$'\r\n"},
	}
	var sent, want string
	for _, c := range talk {
		sent, want = sent+c[0], want+c[1]
	}
	for _, piece := range pieces {
		if got := exchange(t, findServer("serve-kv").serve, sent, piece); got != want {
			t.Errorf("in pieces of %d got\n%q\nnot\n%q", piece, got, want)
		}
	}
}
