package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
)

// KubeletPort is where every node answers for its pods' logs.
const KubeletPort = 10250

const maxNodes = 200

// addresses hands out pod addresses below a prefix of the loopback network, which Linux accepts without any set-up.
// An address is used again as late as possible, so that nothing mistakes a new pod for the one that had it before.
type addresses struct {
	prefix string
	mu     sync.Mutex
	next   int
	taken  map[string]bool
}

func newAddresses(prefix string) (*addresses, error) {
	first, second, ok := strings.Cut(prefix, ".")
	n, err := strconv.Atoi(second)
	if !ok || first != "127" || err != nil || n < 1 || n > 255 {
		return nil, fmt.Errorf("pod prefix %q: choose one from 127.1 to 127.255 (the loopback network, without 127.0)", prefix)
	}
	return &addresses{prefix: fmt.Sprintf("127.%d", n), taken: map[string]bool{}}, nil
}

// node is the address of the i-th node. The last block of the prefix is kept for nodes.
func (a *addresses) node(i int) string { return fmt.Sprintf("%s.255.%d", a.prefix, i) }

// take gives out an address; the wanted one if it is free and of this prefix.
func (a *addresses) take(wanted string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if strings.HasPrefix(wanted, a.prefix+".") && !a.taken[wanted] {
		a.taken[wanted] = true
		return wanted, nil
	}
	const blocks, hosts = 255, 254
	for range blocks * hosts {
		ip := fmt.Sprintf("%s.%d.%d", a.prefix, a.next/hosts, a.next%hosts+1)
		a.next = (a.next + 1) % (blocks * hosts)
		if !a.taken[ip] {
			a.taken[ip] = true
			return ip, nil
		}
	}
	return "", fmt.Errorf("all %d addresses below %s are in use", blocks*hosts, a.prefix)
}

func (a *addresses) give(ip string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.taken, ip)
}

// CheckPrefix says whether another playground on this machine already uses a pod prefix.
func CheckPrefix(prefix string) error {
	a, err := newAddresses(prefix)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(a.node(1), strconv.Itoa(KubeletPort)))
	if err != nil {
		return fmt.Errorf("pod addresses %s.x.y, for the playground's pods and nodes, cannot be used (%v): another playground may run with them; "+
			"choose others with --pod-prefix 127.%d, or --pod-prefix auto", prefix, err, 11+rand.IntN(200))
	}
	return l.Close()
}

// FreePrefix finds a pod prefix that no playground on this machine uses.
func FreePrefix() (string, error) {
	start := rand.IntN(220)
	for i := range 220 {
		prefix := fmt.Sprintf("127.%d", 20+(start+i)%220)
		if CheckPrefix(prefix) == nil {
			return prefix, nil
		}
	}
	return "", fmt.Errorf("no pod prefix from 127.20 to 127.239 is free: stop another playground first")
}
