package ports

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	s, err := Resolve("default")
	if err != nil || s[APIServer] != 16443 || s.Addr(Grafana) != "127.0.0.1:13000" {
		t.Fatalf("%v %v", s, err)
	}
	s, err = Resolve("apiserver=17000, prometheus=0")
	if err != nil || s[APIServer] != 17000 || s[Prometheus] == 0 || s[Prometheus] == 19090 || s[Control] != 16480 {
		t.Fatalf("%v %v", s, err)
	}
	s, err = Resolve("free")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for name, port := range s {
		if port == 0 || seen[port] {
			t.Errorf("%s: port %d is no free one of its own", name, port)
		}
		seen[port] = true
	}
	for _, bad := range []string{"apiserver", "api=1", "apiserver=x", "apiserver=70000"} {
		if _, err := Resolve(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCheckNamesTheTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	s, err := Resolve("free")
	if err != nil {
		t.Fatal(err)
	}
	s[Prometheus] = port
	err = s.Check(APIServer, Prometheus)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d, for Prometheus", port)) || !strings.Contains(err.Error(), "--ports prometheus=") {
		t.Fatalf("got %v", err)
	}
	if err := s.Check(APIServer); err != nil {
		t.Fatalf("a port nobody asked for was checked: %v", err)
	}
	s[Control] = s[APIServer]
	if err := s.Check(APIServer, Control); err == nil {
		t.Fatal("the same port twice was taken")
	}
}
