package standins

import "net/http"

// Webhook takes whatever is posted to any path.
type Webhook struct {
	door    *faulty
	journal journal
}

// NewWebhook returns a receiver that has been sent nothing.
func NewWebhook() *Webhook {
	h := &Webhook{}
	h.door = &faulty{next: http.HandlerFunc(h.serve)}
	return h
}

func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.door.ServeHTTP(w, r) }

func (h *Webhook) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/_sent":
		h.journal.show(w, r)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		body, whole := readBody(r)
		s := entry(r, body)
		s.Status = http.StatusOK
		if !whole {
			s.Status = http.StatusRequestEntityTooLarge
		}
		h.journal.add(s)
		reply(w, s.Status, map[string]string{"message": http.StatusText(s.Status)})
	default:
		reply(w, http.StatusMethodNotAllowed, map[string]string{"message": "POST anything to any path; GET /_sent shows what came"})
	}
}
