package flow

import (
	"net/netip"
	"slices"
)

// metadata are the addresses at which clouds answer questions about their machines, credentials included, as far as they are
// not link-local: AWS over IPv6, Alibaba, Oracle and Azure.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("168.63.129.16"),
}

var (
	nowhere    = netip.MustParsePrefix("0.0.0.0/8")
	translated = netip.MustParsePrefix("64:ff9b::/96")
)

// Forbidden reports whether no flow may go to an address: one of this machine, of the link, a cloud's metadata service, or
// none at all. A pod's own address is the exception: Closed holds for it.
func Forbidden(a netip.Addr) bool { return a.Unmap().IsLoopback() || Closed(a) }

// Closed is Forbidden without the addresses of this machine, which is where pods live when all of a cluster is one process.
func Closed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if translated.Contains(a) { // an IPv4 address behind a translator
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return !a.IsValid() || nowhere.Contains(a) || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || slices.Contains(metadata, a)
}
