package fakes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Post is one call that Slack took.
type Post struct {
	Method    string // postMessage, update or webhook
	Channel   string
	At        string // the message's time, by which it is known
	Thread    string // of the message that it answers
	Broadcast bool
	Text      string
	Blocks    string // JSON
}

// Slack is a stand-in for the part of Slack's API that posts messages, and for its incoming webhooks. It answers as Slack
// does: errors come with status 200.
type Slack struct {
	Token string // wanted

	mu     sync.Mutex
	posts  []Post
	kept   map[string]bool
	refuse string // the error it answers with
}

// Posts are the calls it took, in order.
func (s *Slack) Posts() []Post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Post(nil), s.posts...)
}

// Refuse makes it answer with an error; empty ends that.
func (s *Slack) Refuse(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = code
}

// Forget deletes all messages, as a person may.
func (s *Slack) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = nil
}

// ServeHTTP serves …/services/… and …/api/chat.….
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(r.URL.Path, "/services/") {
		var body struct {
			Text   string
			Blocks json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Text == "" {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		s.posts = append(s.posts, Post{Method: "webhook", Text: body.Text, Blocks: string(body.Blocks)})
		_, _ = w.Write([]byte("ok"))
		return
	}
	refuse := func(code string) { answer(w, 200, map[string]any{"ok": false, "error": code}) }
	_, method, ok := strings.Cut(r.URL.Path, "/api/chat.")
	p := Post{Method: method, Channel: r.FormValue("channel"), At: r.FormValue("ts"), Thread: r.FormValue("thread_ts"),
		Broadcast: r.FormValue("reply_broadcast") == "true", Text: r.FormValue("text"), Blocks: r.FormValue("blocks")}
	switch {
	case !ok:
		refuse("unknown_method")
		return
	case r.FormValue("token") != s.Token:
		refuse("invalid_auth")
		return
	case s.refuse != "":
		refuse(s.refuse)
		return
	case p.Text == "":
		refuse("no_text")
		return
	case method == "update" && !s.kept[p.Channel+"/"+p.At]:
		refuse("message_not_found")
		return
	case method == "postMessage":
		if !strings.HasPrefix(p.Channel, "C") { // a name; what is answered is the id
			p.Channel = "C0" + strings.ToUpper(p.Channel)
		}
		p.At = fmt.Sprintf("1700000000.%06d", len(s.posts)+1)
		if s.kept == nil {
			s.kept = map[string]bool{}
		}
		s.kept[p.Channel+"/"+p.At] = true
	}
	s.posts = append(s.posts, p)
	answer(w, 200, map[string]any{"ok": true, "channel": p.Channel, "ts": p.At})
}
