package policy

import (
	"strings"
	"time"
	"unicode"
)

// Loki is where agents send what pods write.
type Loki struct {
	HTTP
	BearerTokenFile string        `json:"bearerTokenFile,omitempty"`
	Tenant          string        `json:"tenant,omitempty"` // sent as X-Scope-OrgID; empty: none
	Lag             time.Duration `json:"lag"`              // how long after it was written a line can be read for sure
}

const defaultLokiLag = 10 * time.Second

func (l *Loki) fill() {
	l.HTTP.fill()
	if l.Lag == 0 { // cannot be written: durations are above 0
		l.Lag = defaultLokiLag
	}
}

func (k *checker) loki(l Loki) {
	const path = "sources.loki"
	if l.URL == "" {
		k.errorf(path+".url", "is missing; write the address of Loki, such as http://loki-gateway.monitoring")
	}
	k.http(path, l.HTTP, l.BearerTokenFile != "")
	k.file(path+".bearerTokenFile", l.BearerTokenFile)
	if strings.ContainsFunc(l.Tenant, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r > unicode.MaxASCII }) || len(l.Tenant) > 150 {
		k.errorf(path+".tenant", "must be a tenant's name, or several joined by |, as in the header X-Scope-OrgID")
	}
	k.between(path+".lag", l.Lag, minLag, maxLag)
}
