package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/signals/probe/flow"
)

// Migration is a database migration that a container said it ran.
type Migration struct {
	Tool      string
	Name      string // what the tool calls it
	Pod       string
	Container string
	At        time.Time
	// Schema and Data say whether it changed these: yes, no, or empty where that is not known. Removes is a step that takes
	// something away or renames it. ToldBy is by what that is known: log or name.
	Schema, Data, Removes, ToldBy string
}

// tool is how a tool tells of a migration that it ran. Those it takes back are none.
type tool struct {
	name string
	line *regexp.Regexp // its first group that is not empty names the migration
}

// The tools that are known, by the words of their current versions.
var tools = []tool{
	{"django", regexp.MustCompile(`^\s*Applying ([\w.-]{1,100}\.\d{4}\w{0,150})\.\.\.`)},
	{"rails", regexp.MustCompile(`^== ?(\d{1,14} \w{1,150}): migrated\b`)},
	{"laravel", regexp.MustCompile(`^\s*(?:Migrated:\s+)?(\d{4}_\d\d_\d\d_\d{6}_\w{1,150})(?:\s*\(.*\)|[ .]+(?:[\d.,]+ ?m?s )?DONE)\s*$`)},
	{"alembic", regexp.MustCompile(`Running upgrade ([0-9A-Za-z_]{0,60} -> [0-9A-Za-z_]{1,60}(?:, [^\r\n]{1,120})?)`)},
	{"flyway", regexp.MustCompile(`Migrating schema \S{1,100} to (?:version|repeatable migration) "?([^"\r\n]{1,150}?)"?(?: \[|\s*$)`)},
	{"liquibase", regexp.MustCompile(`(?i)change ?set (\S{1,120}::\S{1,80}::\S{1,80}) ran successfully`)},
	{"prisma", regexp.MustCompile("Applying migration `([^`\r\n]{1,150})`")},
	{"entity-framework", regexp.MustCompile(`Applying migration '([^'\r\n]{1,150})'`)},
	{"golang-migrate", regexp.MustCompile(`^(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?(\d{1,20}/u \w{1,150}) \([\d.]+m?[µsn]?s?\)`)},
}

// Knex says how many migrations a batch ran, and their names only where it is told to list them.
var (
	knexBatch = regexp.MustCompile(`^Batch (\d{1,9}) run: (\d{1,6}) migrations?`)
	knexName  = regexp.MustCompile(`^(\d{14}_[\w-]{1,150}\.(?:js|ts|cjs|mjs))$`)
)

// seer finds migrations in the lines of one container, in order.
type seer struct {
	of    []Migration
	batch bool   // of Knex, whose names follow
	steps deeds  // of the migration under way, or of the last one
	tool  string // whose steps are looked for; empty: nobody's
	after bool   // they follow the line that names the migration, as far as statements were announced
	sql   bool   // a statement was
}

// see takes one line.
func (s *seer) see(at time.Time, text string) {
	text = strings.TrimRight(text[:min(len(text), 1000)], " \t\r\n")
	plain := strings.TrimSpace(text)
	name, by := s.named(text, plain)
	switch {
	case name == "":
		s.step(text, plain)
		return
	case len(s.of) == maxMigrations:
		s.tool = ""
		return
	}
	m := Migration{Tool: by, Name: name, At: at}
	if s.tool == by && !s.after {
		m.tell(s.steps)
	} else {
		m.tell(deeds{})
	}
	s.of = append(s.of, m)
	s.steps, s.tool, s.after, s.sql = deeds{}, "", by == framework, false
	if s.after {
		s.tool = by
	}
}

// step takes a line that names no migration.
func (s *seer) step(text, plain string) {
	said := plain
	if m := message(plain); m != "" {
		said = m
	}
	switch {
	case railsBegins.MatchString(plain):
		s.steps, s.tool, s.after = deeds{}, rails, false
	case liquibaseBegins.MatchString(said):
		s.steps, s.tool, s.after = deeds{}, liquibase, false
	case s.tool == framework && frameworkSays.MatchString(said):
		s.sql = true
	case s.tool == framework && (!s.sql || text == plain):
		s.sql = s.sql && text != plain // statements are indented
	case s.tool == liquibase:
		if i := strings.LastIndex(said, "] "); i >= 0 && !s.steps.note(s.tool, said) {
			said = said[i+2:] // behind level and logger
		}
		s.steps.note(s.tool, said)
	case s.tool != "" && s.steps.note(s.tool, said) && s.after:
		s.of[len(s.of)-1].tell(s.steps)
	}
}

// named says which migration a line names.
func (s *seer) named(text, plain string) (name, by string) {
	switch m := knexBatch.FindStringSubmatch(plain); {
	case m != nil && m[2] != "0":
		s.batch = true
		return "batch " + m[1] + " of " + m[2], "knex"
	case s.batch:
		if m := knexName.FindStringSubmatch(plain); m != nil {
			return m[1], "knex"
		}
		s.batch = false
	}
	for _, t := range tools {
		m := t.line.FindStringSubmatch(text)
		if m == nil && text != plain {
			m = t.line.FindStringSubmatch(plain)
		}
		if m == nil {
			m = t.line.FindStringSubmatch(message(plain)) // within JSON
		}
		if m != nil {
			return strings.TrimSpace(m[1]), t.name
		}
	}
	return "", ""
}

// Start is a container whose first lines may tell of migrations: one of a new pod, an init container, or a Job's.
type Start struct {
	UID       string // of the pod
	Pod       string
	Container string
	Began     time.Time
	Done      bool // it has ended, and writes no more
}

const (
	maxMigrations  = 100
	maxName        = 150             // runes
	migrationBytes = 512 << 10       // of a log's beginning that are read
	migratesFor    = 3 * time.Minute // a container that has run for longer has done what it does at its start
	maxStarts      = 20              // containers whose beginnings are read
	maxSeen        = 5000            // containers that are remembered
)

// seen is what a container's beginning told; done once it will not tell more.
type seen struct {
	done bool
	at   time.Time
	of   []Migration
}

// Migrations are the database migrations that a rollout ran, in their order: in its new pods, which have that label, and in Jobs
// that carry the workload's labels and began since then. Each log is read until it tells no more.
func (s *Source) Migrations(ctx context.Context, w Workload, key, value string, since time.Time) ([]Migration, error) {
	ctx, cancel := context.WithTimeout(ctx, readFor)
	defer cancel()
	starts, err := s.cluster.Starts(ctx, w, key, value, since)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(starts, func(a, b Start) int { return a.Began.Compare(b.Began) })
	var out []Migration
	var failed []error
	for _, c := range starts[:min(len(starts), maxStarts)] {
		of, err := s.beginning(ctx, w, c)
		if err != nil && !errors.Is(err, ErrNoLog) {
			failed = append(failed, err)
		}
		out = append(out, of...)
	}
	slices.SortStableFunc(out, func(a, b Migration) int { return a.At.Compare(b.At) })
	// Each pod that finds it applied says nothing; two that ran it at once are one.
	told := map[[2]string]bool{}
	out = slices.DeleteFunc(out, func(m Migration) bool {
		key := [2]string{m.Tool, m.Name}
		was := told[key]
		told[key] = true
		return was
	})
	return out[:min(len(out), maxMigrations)], errors.Join(failed...)
}

// beginning is what the beginning of a container's log tells.
func (s *Source) beginning(ctx context.Context, w Workload, c Start) ([]Migration, error) {
	key := c.UID + "/" + c.Container
	s.mu.Lock()
	was := s.starts[key]
	s.mu.Unlock()
	if was.done {
		return was.of, nil
	}
	now := s.now()
	body, err := s.cluster.Log(ctx, w.Namespace, c.Pod, c.Container, false, time.Time{}, 0, migrationBytes)
	if err != nil {
		return was.of, err
	}
	defer func() { _ = body.Close() }()
	var see seer
	_, err = eachLine(body, see.see)
	of := see.of
	for i := range of {
		of[i].Name, of[i].Pod, of[i].Container = shown(of[i].Name), c.Pod, c.Container
	}
	if err != nil {
		return was.of, fmt.Errorf("read the log of container %s of pod %s/%s: %w", c.Container, w.Namespace, c.Pod, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.starts) >= maxSeen {
		maps.DeleteFunc(s.starts, func(_ string, x seen) bool { return now.Sub(x.at) > keptFor })
	}
	if len(s.starts) < maxSeen {
		s.starts[key] = seen{done: c.Done || now.Sub(c.Began) > migratesFor, at: now, of: of}
	}
	return of, nil
}

// shown is a migration's name as it may be shown.
func shown(name string) string { return flow.Excerpt(redactor.Redact(name), maxName) }
