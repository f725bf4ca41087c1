package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// bufferSize is that of a connection's buffers.
const bufferSize = 4096

// A server is a name and what serves connections under it.
type server struct {
	name  string
	serve func(*net.TCPListener) error
}

// servers are all of them.
var servers = []server{
	{"serve-echo", perConnection(echo)},
	{"serve-http", serveHTTP},
	{"serve-http=hand", perConnection(httpByHand)},
	{"serve-kv", serveKV},
}

// findServer returns the server of that name, or nil.
func findServer(name string) *server {
	for i := range servers {
		if servers[i].name == name {
			return &servers[i]
		}
	}
	return nil
}

// listenAndServe serves until SIGTERM, at which the program ends. net takes the backlog from
// somaxconn and sets TCP_NODELAY; multipath TCP and keep-alive, also its defaults, are off, since
// the other runtimes have neither.
func listenAndServe(addr string, serve func(*net.TCPListener) error) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false)
	listener, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	if _, err := fmt.Printf("listening on %v\n", listener.Addr()); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- serve(listener.(*net.TCPListener)) }()
	select {
	case <-term:
		return nil
	case err := <-failed:
		return err
	}
}

// perConnection makes a server that runs a goroutine for each connection, and closes it after.
func perConnection(handle func(*net.TCPConn)) func(*net.TCPListener) error {
	return func(listener *net.TCPListener) error {
		for {
			conn, err := listener.AcceptTCP()
			switch {
			case err == nil:
				go func() {
					defer conn.Close()
					handle(conn)
				}()
			case errors.Is(err, net.ErrClosed):
				return err
			default: // out of descriptors, or a client that left already
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
}

// echo sends back each read.
func echo(conn *net.TCPConn) {
	buf := make([]byte, bufferSize)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}
