// Package cloudauth lets the managed Prometheus of a cloud know who asks, with the credentials that the pod has there.
package cloudauth

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/sigv4"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// AWS signs requests with Signature Version 4, for Amazon Managed Service for Prometheus. Credentials are found as all AWS
// clients find them: environment, web identity of the service account, pod identity, instance. With roleARN that role is assumed.
func AWS(region, roleARN string, next http.RoundTripper) (http.RoundTripper, error) {
	signing, err := sigv4.NewSigV4RoundTripper(&sigv4.SigV4Config{Region: region, RoleARN: roleARN}, next)
	if err != nil {
		return nil, fmt.Errorf("find aws credentials to sign queries with: %w; does the pod's service account have a role?", err)
	}
	return signing, nil
}

// tokenTimeout is how long a request for a token may take.
const tokenTimeout = 10 * time.Second

// readMetrics is what Google Cloud allows to read metrics, and nothing else.
const readMetrics = "https://www.googleapis.com/auth/monitoring.read"

// Google adds tokens for Google Cloud Managed Service for Prometheus, those of the service account whose key is in a file, or
// else those of the pod.
func Google(credentialsFile string, next http.RoundTripper) (http.RoundTripper, error) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
	if credentialsFile == "" {
		found, err := google.FindDefaultCredentials(ctx, readMetrics)
		if err != nil {
			return nil, fmt.Errorf("find google credentials: %w; does the pod's service account have workload identity?", err)
		}
		return &oauth2.Transport{Source: found.TokenSource, Base: next}, nil
	}
	key, err := os.ReadFile(credentialsFile)
	if err != nil {
		return nil, fmt.Errorf("read the google credentials: %w", err)
	}
	config, err := google.JWTConfigFromJSON(key, readMetrics)
	if err != nil {
		return nil, fmt.Errorf("read the google credentials in %s: not the key of a service account: %w", credentialsFile, err)
	}
	return &oauth2.Transport{Source: config.TokenSource(ctx), Base: next}, nil
}
