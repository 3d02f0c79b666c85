package standins

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// receiverFaults are the ways in which a receiver of messages fails on request, and what each does.
var receiverFaults = map[string]string{
	"down":    "the connection is cut without an answer",
	"slow":    "an answer that takes seconds",
	"4xx":     "400",
	"5xx":     "503, as from a proxy",
	"429":     "429, with Retry-After: seconds",
	"garbage": "200, with a page of HTML",
}

// faulty is a stand-in that fails when it is told to:
//
//	PUT /_fault     {"kind": …, "times": 3, "seconds": 30}: what is to go wrong, for how many requests (0: all)
//	DELETE /_fault  no more
type faulty struct {
	next http.Handler

	mu    sync.Mutex
	fault Fault
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_fault":
		f.set(w, r)
		return
	case "/_sent":
		f.next.ServeHTTP(w, r)
		return
	}
	now := f.take()
	wait := strconv.Itoa(max(now.Seconds, 1))
	switch now.Kind {
	case "":
		f.next.ServeHTTP(w, r)
	case "down":
		panic(http.ErrAbortHandler)
	case "slow":
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxBody)) // only then the server notices that the caller has left
		select {
		case <-r.Context().Done():
		case <-time.After(time.Duration(max(now.Seconds, 1)) * time.Second):
		}
		reply(w, http.StatusGatewayTimeout, message("too late"))
	case "4xx":
		reply(w, http.StatusBadRequest, message("bad request data"))
	case "5xx":
		http.Error(w, "<html><body>no healthy upstream</body></html>", http.StatusServiceUnavailable)
	case "429":
		w.Header().Set("Retry-After", wait)
		reply(w, http.StatusTooManyRequests, message("too many requests"))
	case "garbage":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>\x00\xff please log in</html>")
	}
}

// take is what goes wrong with one request.
func (f *faulty) take() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.fault
	if f.fault.Times == 1 {
		f.fault = Fault{}
	}
	f.fault.Times = max(f.fault.Times-1, 0)
	return now
}

func (f *faulty) set(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	if r.Method != http.MethodDelete {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&fault); r.Method != http.MethodPut || err != nil || receiverFaults[fault.Kind] == "" || fault.Times < 0 {
			reply(w, http.StatusBadRequest, map[string]any{"message": "PUT {\"kind\": …}, or DELETE", "kinds": receiverFaults})
			return
		}
	}
	f.mu.Lock()
	f.fault = fault
	f.mu.Unlock()
	reply(w, http.StatusOK, message(receiverFaults[fault.Kind]))
}
