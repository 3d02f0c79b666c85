package main

import (
	"net/http"

	"github.com/prometheus/common/config"

	"github.com/bakewatch/bakewatch/policy"
	"github.com/bakewatch/bakewatch/signals/prometheus"
	"github.com/bakewatch/bakewatch/signals/prometheus/cloudauth"
)

// prometheusOptions is where Prometheus is and how it is to know the daemon, as policy says.
func prometheusOptions(p policy.Prometheus) prometheus.Options {
	o := prometheus.Options{URL: p.URL, HTTPClient: httpConfig(p.HTTP, p.BearerTokenFile), Timeout: p.Timeout}
	if len(p.Headers) > 0 {
		o.HTTPClient.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{}}
		for name, value := range p.Headers {
			o.HTTPClient.HTTPHeaders.Headers[http.CanonicalHeaderKey(name)] = config.Header{Values: []string{value}}
		}
	}
	if a := p.OAuth2; a != nil {
		o.HTTPClient.OAuth2 = &config.OAuth2{ClientID: a.ClientID, ClientSecretFile: a.ClientSecretFile, TokenURL: a.TokenURL, Scopes: a.Scopes, EndpointParams: a.Params}
	}
	switch {
	case p.SigV4 != nil:
		o.Auth = func(next http.RoundTripper) (http.RoundTripper, error) {
			return cloudauth.AWS(p.SigV4.Region, p.SigV4.RoleARN, next)
		}
	case p.Google != nil:
		o.Auth = func(next http.RoundTripper) (http.RoundTripper, error) {
			return cloudauth.Google(p.Google.CredentialsFile, next)
		}
	}
	return o
}
