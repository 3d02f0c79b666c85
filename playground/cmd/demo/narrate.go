package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// Who sees a fact. It begins the line.
const (
	story        = "demo"
	kubectl      = "kubectl"
	clusterSees  = "cluster"
	trafficSees  = "traffic"
	prometheus   = "prometheus"
	bakewatch    = "bakewatch"
	grafana      = "grafana"
	alertmanager = "alertmanager"
	webhook      = "webhook"
)

var colours = map[string]string{
	story: "1", kubectl: "36", clusterSees: "34", trafficSees: "35", prometheus: "33", bakewatch: "1;32", grafana: "33", alertmanager: "31", webhook: "35",
}

// narrator prints one fact a line, with the time of day and the seconds since the start.
type narrator struct {
	out    io.Writer
	colour bool
	began  time.Time
	mu     sync.Mutex
	said   map[string]bool
}

func newNarrator(out *os.File) *narrator {
	info, err := out.Stat()
	colour := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &narrator{out: out, colour: colour, began: time.Now(), said: map[string]bool{}}
}

func (n *narrator) paint(code, text string) string {
	if !n.colour || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// say prints a fact. What has several lines is several facts.
func (n *narrator) say(who, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.print(who, format, args...)
}

// sayOnce prints a fact, unless it was printed under the same key before.
func (n *narrator) sayOnce(key, who, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.said[key] {
		n.said[key] = true
		n.print(who, format, args...)
	}
}

func (n *narrator) print(who, format string, args ...any) {
	now := time.Now()
	for line := range strings.Lines(strings.TrimSpace(fmt.Sprintf(format, args...))) {
		head := fmt.Sprintf("%s %6.1fs  ", now.Format("15:04:05"), now.Sub(n.began).Seconds())
		_, _ = fmt.Fprintf(n.out, "%s%s %s\n", n.paint("2", head), n.paint(colours[who], fmt.Sprintf("%-12s", who)), strings.TrimRight(line, " \n"))
	}
}

// chapter begins a part of the story.
func (n *narrator) chapter(title string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = fmt.Fprintf(n.out, "\n%s\n", n.paint("1", "== "+title))
}

// plain prints text as it is.
func (n *narrator) plain(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = fmt.Fprintln(n.out, strings.TrimRight(text, "\n"))
}

// seconds prints a duration as people read it here: 6.4s.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// shorten cuts a text that would not fit on a line.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
