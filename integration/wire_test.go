package integration

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// wire leads to a server, for one daemon alone. It can be cut, so that connections to it are refused, and mended.
type wire struct {
	t       *testing.T
	address string // http://host:port of this end
	near    string
	far     string
	all     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while cut
	conns    map[net.Conn]bool
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	w := &wire{t: t, near: "127.0.0.1:0", far: target[strings.Index(target, "//")+2:], conns: map[net.Conn]bool{}}
	w.mend()
	w.address = "http://" + w.near
	t.Cleanup(func() {
		w.cut()
		w.all.Wait()
	})
	return w
}

// mend lets connections through again.
func (w *wire) mend() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.near)
	if err != nil {
		w.t.Fatal(err)
	}
	w.near = l.Addr().String()
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	w.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.all.Go(func() { w.carry(conn) })
		}
	})
}

// cut refuses new connections, and breaks those there are.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		_ = w.listener.Close()
	}
	w.listener = nil
	for c := range w.conns {
		_ = c.Close()
	}
}

func (w *wire) carry(near net.Conn) {
	defer func() { _ = near.Close() }()
	if !w.hold(near) {
		return
	}
	defer w.release(near)
	far, err := net.Dial("tcp", w.far)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	if !w.hold(far) {
		return
	}
	defer w.release(far)
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
}

// hold remembers a connection, unless the wire was cut meanwhile.
func (w *wire) hold(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		w.conns[c] = true
	}
	return w.listener != nil
}

func (w *wire) release(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}
