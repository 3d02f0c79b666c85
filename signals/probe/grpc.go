package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// The health protocol is one question with one string, answered with one number; gRPC puts each into a frame over HTTP/2.
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md and PROTOCOL-HTTP2.md beside it.

const (
	healthCheck = "/grpc.health.v1.Health/Check"
	framePrefix = 5       // bytes before a message: whether it is compressed, and its length
	maxFrame    = 1 << 10 // bytes of an answer that is a number
)

// grpc asks for the health of a server, or of one of its services.
func (v *visit) grpc(ctx context.Context, s *flow.Stage, to place) (*flow.Miss, error) {
	const expected = "health SERVING"
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(v.tls == nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.scheme()+"://"+to.at.String()+healthCheck, bytes.NewReader(healthQuestion(s.GRPC.Service)))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", cause(err))
	}
	req.Host = to.name
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {userAgent}}
	began := time.Now()
	transport := v.transport(to, &protocols)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		return v.failed(cause(err), to, expected)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxFrame))
	took := time.Since(began)
	if err != nil {
		return v.failed(cause(err), to, expected)
	}
	if got := healthAnswer(res, body); got != serving {
		return &flow.Miss{Expected: expected, Got: got}, nil
	}
	return s.Slow(took), nil
}

// healthQuestion is HealthCheckRequest{service: name} in a frame.
func healthQuestion(service string) []byte {
	var message []byte
	if service != "" {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	frame := make([]byte, framePrefix, framePrefix+len(message))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message))) //nolint:gosec // a flow is shorter
	return append(frame, message...)
}

const serving = "SERVING"

// health are the values of HealthCheckResponse.ServingStatus.
var health = []string{"UNKNOWN", serving, "NOT_SERVING", "SERVICE_UNKNOWN"}

// codes are the statuses of gRPC that a server without this service, or without health checks, gives.
var codes = map[string]string{"5": "NOT_FOUND: it knows no such service", "7": "PERMISSION_DENIED", "12": "UNIMPLEMENTED: it has no health checks", "14": "UNAVAILABLE", "16": "UNAUTHENTICATED"}

// healthAnswer is what a server answered.
func healthAnswer(res *http.Response, body []byte) string {
	code := res.Trailer.Get("Grpc-Status")
	if code == "" { // an answer without a message has no trailer
		code = res.Header.Get("Grpc-Status")
	}
	switch {
	case res.StatusCode != http.StatusOK:
		return fmt.Sprintf("HTTP status %d", res.StatusCode)
	case code == "":
		return "an answer that is not gRPC"
	case code != "0" && codes[code] != "":
		return "gRPC status " + codes[code]
	case code != "0":
		message := res.Trailer.Get("Grpc-Message")
		if message == "" {
			message = res.Header.Get("Grpc-Message")
		}
		if text, err := url.PathUnescape(message); err == nil {
			message = text
		}
		return bounded("gRPC status " + code + " " + message)
	}
	status, err := healthStatus(body)
	if err != nil {
		return "an answer that cannot be read: " + err.Error()
	}
	return status
}

// healthStatus reads HealthCheckResponse{status} out of a frame.
func healthStatus(frame []byte) (string, error) {
	if len(frame) < framePrefix || frame[0] != 0 || uint64(len(frame)-framePrefix) != uint64(binary.BigEndian.Uint32(frame[1:framePrefix])) {
		return "", errors.New("it is no single message")
	}
	status := uint64(0)
	for rest := frame[framePrefix:]; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return "", errors.New("it is no protobuf")
		}
		rest = rest[n:]
		if number == 1 && kind == protowire.VarintType {
			if status, n = protowire.ConsumeVarint(rest); n < 0 {
				return "", errors.New("it is no protobuf")
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return "", errors.New("it is no protobuf")
		}
		rest = rest[n:]
	}
	if status >= uint64(len(health)) {
		return fmt.Sprintf("health %d", status), nil
	}
	return health[status], nil
}
