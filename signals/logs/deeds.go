package logs

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// deeds are what a migration did, as far as its log tells: of some tools each step is a line, of others nothing is said.
type deeds struct {
	schema, data bool
	unclear      bool   // a step of which it is not known what it does
	removes      string // the step that takes something away, or renames it
}

// The tools whose logs tell of steps.
const (
	rails     = "rails"
	liquibase = "liquibase"
	framework = "entity-framework"
)

var (
	railsBegins = regexp.MustCompile(`^== ?\d{1,14} \w{1,150}: migrating\b`)
	railsStep   = regexp.MustCompile(`^\s*-- (\w{1,60})[( ]?["']?(.{0,200})`)
	// Liquibase words each change of a set when it is done.
	liquibaseBegins = regexp.MustCompile(`(?i)running change ?set: `)
	liquibaseSchema = regexp.MustCompile(`^(?:(?:Table|View|Index|Sequence|Columns?|Schema|Foreign key|Primary key|Unique constraint|Null constraint|Not null constraint|Default value|Stored procedure|Function|Trigger)\b.{0,300}\b(?:created|dropped|added to|added|renamed to|modified to|removed from|deleted)\b|\S{1,200} renamed to|\S{1,200} datatype was changed to)`)
	liquibaseData   = regexp.MustCompile(`^(?:New row inserted into|Data updated in|Data deleted from|Data loaded from|Lookup table added)\b`)
	liquibaseElse   = regexp.MustCompile(`^(?:Custom SQL executed|SQL in file .{1,300} executed|Custom change .{1,300}executed|Shell command .{1,300}executed)`)
	liquibaseDrops  = regexp.MustCompile(`^(Table|View|Columns?|Sequence|Schema|Stored procedure|Function)\b.{0,300}\b(dropped|renamed to|deleted)\b`)
	// Entity Framework prints the statements, each after a line about it.
	frameworkSays = regexp.MustCompile(`Executed DbCommand `)
	ownHistory    = regexp.MustCompile(`(?i)__EFMigrationsHistory|databasechangelog|schema_migrations`)
)

// railsChanges are the steps that change the schema, railsRemoves those of them after which something is no longer there.
var (
	railsChanges = []string{"create_table", "create_join_table", "add_column", "add_columns", "add_index", "add_reference", "add_belongs_to", "add_foreign_key", "add_timestamps", "add_check_constraint",
		"change_column", "change_column_default", "change_column_null", "change_column_comment", "change_table", "change_table_comment", "enable_extension", "disable_extension", "create_enum",
		"remove_index", "rename_index", "remove_foreign_key", "remove_check_constraint", "create_view", "update_view"}
	railsRemoves = []string{"drop_table", "drop_join_table", "remove_column", "remove_columns", "remove_reference", "remove_belongs_to", "remove_timestamps", "rename_table", "rename_column", "drop_enum", "drop_view"}
)

// note takes a line that a tool prints while it migrates. ok is false for a line that tells nothing.
func (d *deeds) note(tool, line string) (ok bool) {
	line = strings.TrimSpace(line)
	switch tool {
	case rails:
		m := railsStep.FindStringSubmatch(line)
		switch {
		case m == nil:
			return false
		case slices.Contains(railsRemoves, m[1]):
			d.schema, d.removes = true, cmp.Or(d.removes, m[1])
		case slices.Contains(railsChanges, m[1]):
			d.schema = true
		case m[1] == "execute":
			d.statement(m[2])
		default:
			d.unclear = true
		}
		return true
	case liquibase:
		switch {
		case liquibaseData.MatchString(line):
			d.data = true
		case liquibaseElse.MatchString(line):
			d.unclear = true
		case liquibaseSchema.MatchString(line):
			d.schema = true
			if m := liquibaseDrops.FindStringSubmatch(line); m != nil {
				d.removes = cmp.Or(d.removes, strings.ToLower(strings.TrimSuffix(m[1], "s")+" "+strings.TrimSuffix(m[2], " to")))
			}
		default:
			return false
		}
		return true
	case framework:
		return d.statement(line)
	}
	return false
}

var (
	removing = regexp.MustCompile(`(?i)\b(drop (?:table|column|view|schema|function|procedure|type|sequence)|rename (?:to|table|column)|sp_rename)\b`)
	verb     = regexp.MustCompile(`^[A-Za-z]{2,20}\b`)
)

// statement notes a statement of SQL, or a line of one.
func (d *deeds) statement(sql string) (ok bool) {
	if ownHistory.MatchString(sql) {
		return false // the tool's own book
	}
	if m := removing.FindStringSubmatch(sql); m != nil {
		d.removes = cmp.Or(d.removes, strings.ToLower(m[1]))
	}
	switch strings.ToUpper(verb.FindString(sql)) {
	case "CREATE", "ALTER", "DROP", "RENAME", "COMMENT":
		d.schema = true
	case "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "REPLACE", "TRUNCATE":
		d.data = true
	case "EXEC", "EXECUTE", "CALL", "DO", "DECLARE", "WITH", "IF", "BEGIN":
		d.unclear = true
	default:
		return false
	}
	return true
}

// tell says what is known of a migration from its steps, or, where its log told of none, what its name suggests.
func (m *Migration) tell(d deeds) {
	yes := func(is bool) string { return map[bool]string{true: "yes"}[is] }
	m.Schema, m.Data, m.Removes, m.ToldBy = "", "", "", ""
	switch {
	case d.schema || d.data:
		m.Schema, m.Data, m.Removes, m.ToldBy = yes(d.schema), yes(d.data), d.removes, "log"
		if m.Tool != rails && !d.unclear { // all steps are printed; of Rails' those are not that go through models
			m.Schema, m.Data = cmp.Or(m.Schema, "no"), cmp.Or(m.Data, "no")
		}
	case !d.unclear:
		m.guess()
	}
}

var (
	namesRemove = []string{"drop", "drops", "remove", "removes", "delete", "deletes", "rename", "renames"}
	namesData   = []string{"backfill", "populate", "seed", "seeds", "data"}
)

// guess is what a migration's name suggests. That it changes nothing but the schema no name can tell.
func (m *Migration) guess() {
	for _, word := range words(m.Name) {
		switch {
		case slices.Contains(namesRemove, word):
			m.Removes, m.ToldBy = cmp.Or(m.Removes, word), "name"
		case slices.Contains(namesData, word):
			m.Data, m.ToldBy = "yes", "name"
		}
	}
}

// words are the words of a name: of shop.0042_drop_price as of 20260301 DropPrice.
func words(name string) []string {
	var spaced strings.Builder
	var last rune
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(last) {
			spaced.WriteByte(' ')
		}
		spaced.WriteRune(r)
		last = r
	}
	return strings.FieldsFunc(strings.ToLower(spaced.String()), func(r rune) bool { return !unicode.IsLetter(r) })
}
