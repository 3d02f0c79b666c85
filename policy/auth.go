package policy

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

func (k *checker) prometheus(p Prometheus) {
	const path = "sources.prometheus"
	if p.URL == "" {
		k.errorf(path+".url", "is missing; write the address of Prometheus, such as http://prometheus-server.monitoring")
	}
	k.http(path, p.HTTP, p.BearerTokenFile != "")
	k.file(path+".bearerTokenFile", p.BearerTokenFile)
	k.headers(path+".headers", p.Headers)
	k.oauth2(path+".oauth2", p.OAuth2)
	if p.SigV4 != nil && p.SigV4.Region == "" {
		k.errorf(path+".sigv4.region", "is missing; write the region of the workspace, such as eu-central-1")
	}
	if p.Google != nil {
		k.file(path+".google.credentialsFile", p.Google.CredentialsFile)
	}
	var ways []string
	for _, way := range []struct {
		name string
		used bool
	}{{"bearerTokenFile", p.BearerTokenFile != ""}, {"basicAuth", p.BasicAuth != nil}, {"oauth2", p.OAuth2 != nil}, {"sigv4", p.SigV4 != nil}, {"google", p.Google != nil}} {
		if way.used {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 && !slices.Equal(ways, []string{"bearerTokenFile", "basicAuth"}) { // of those two http has spoken
		k.errorf(join(path, ways[len(ways)-1]), "cannot go together with %s; keep one", strings.Join(ways[:len(ways)-1], " and "))
	}
}

// ownHeaders are the headers that the client writes itself, or that hold a secret, which does not belong here.
var ownHeaders = []string{"Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type", "User-Agent", "Connection", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", "Accept-Encoding", "Transfer-Encoding"}

// headerName is a token, RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

func (k *checker) headers(path string, headers map[string]string) {
	for name, value := range headers {
		switch at := join(path, name); {
		case !headerName.MatchString(name):
			k.errorf(at, "is no name of a header")
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			k.errorf(at, "cannot be set here; for secrets there are bearerTokenFile, basicAuth and oauth2")
		case strings.ContainsFunc(value, unicode.IsControl):
			k.errorf(at, "is no value of a header")
		}
	}
}

func (k *checker) oauth2(path string, o *OAuth2) {
	if o == nil {
		return
	}
	if o.ClientID == "" || o.ClientSecretFile == "" || o.TokenURL == "" {
		k.errorf(path, "needs clientId, clientSecretFile and tokenUrl")
	}
	k.file(join(path, "clientSecretFile"), o.ClientSecretFile)
	if o.TokenURL != "" {
		if u, err := url.Parse(o.TokenURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			k.errorf(join(path, "tokenUrl"), "must be an address such as https://login.example.com/token, without user and password")
		}
	}
}
