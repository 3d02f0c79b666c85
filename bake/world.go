package bake

import (
	"context"
	"errors"
	"time"

	"github.com/bakewatch/bakewatch/act/announce"
	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/decide"
	"github.com/bakewatch/bakewatch/signals"
)

// Watcher sees workloads.
type Watcher interface {
	// Sight is what the watch knows of a workload; Exists is false when there is none.
	Sight(Key) Sight
	// Detect looks at the workload live and says whether it was rolled out since it was known.
	Detect(ctx context.Context, k Key, known Known) (Detection, error)
	// Crew says how the pods of a revision are.
	Crew(ctx context.Context, k Key, r v1alpha1.Revision) (Crew, error)
	// Revisions reads live which revision the workload's template is, and the one that has, or once had, the number; either is
	// empty when there is none.
	Revisions(ctx context.Context, k Key, number int64) (current, named v1alpha1.Revision, err error)
	// Started is when the first container of a revision's pods was started since a time; zero when none was.
	Started(ctx context.Context, k Key, r v1alpha1.Revision, since time.Time) (time.Time, error)
	// Look says what keeps pods from running: those of a revision, the candidate, and all others of the workload.
	Look(ctx context.Context, k Key, r v1alpha1.Revision) (signals.PodLook, error)
	// Collect says how some pods of a revision are, and what they wrote last. What it could collect it returns with an error, too.
	Collect(ctx context.Context, k Key, r v1alpha1.Revision) ([]v1alpha1.PodEvidence, error)
}

// Undoer puts a revision back.
type Undoer interface {
	// Undo puts target back if the live template is still judged's, marks the workload (AnnotationRolledBack), and leaves no
	// trace of ownership on the template. It returns nil when the live template is the target's, whoever put it there, so that it may be repeated after a crash.
	// ErrGone, ErrNewer, ErrPaused and ErrNoRevision are final; any other error may be tried again.
	Undo(ctx context.Context, k Key, uid string, judged, target v1alpha1.Revision) error
	// Restart replaces the pods of a workload whose live template is still r's, by the restart annotation with that value, and leaves
	// no trace of ownership. It returns nil when the template has that very value, so that it may be repeated after a crash. It
	// fails as Undo does.
	Restart(ctx context.Context, k Key, uid string, r v1alpha1.Revision, at string) error
	// HandBack leaves no trace of ownership on the template, where somebody has written it since it was put back.
	HandBack(ctx context.Context, k Key, uid string) error
	// Missing names the objects that pods of target need, and that are not there: ConfigMap web. What may not be seen is
	// taken to be there.
	Missing(ctx context.Context, k Key, target v1alpha1.Revision) ([]string, error)
	// Mark marks the workload as rolled back from judged, and takes a pause of ours away, where something else than Undo put the target back.
	Mark(ctx context.Context, k Key, uid string, judged v1alpha1.Revision) error
	// Unmark takes the mark off a workload. That there is none, or no workload, is no error.
	Unmark(ctx context.Context, k Key, uid string) error
	// Follow says how far the workload has come back from judged to target.
	Follow(ctx context.Context, k Key, judged, target v1alpha1.Revision) (Progress, error)
	// Free deletes a pod of judged that is not ready, and keeps the workload from coming back to target. It is spared when it
	// no longer is what it was: the workload, its template or the pod has changed since. That it is gone already is no error,
	// so that it may be repeated after a crash.
	Free(ctx context.Context, k Key, uid string, judged, target v1alpha1.Revision, pod v1alpha1.FreedPod) (spared bool, err error)
}

// Keeper holds controllers that follow Git off a workload, and lets them go on.
type Keeper interface {
	// Suspend has the controller leave the workload alone, and marks what it changed with the bake's id and what was there before.
	// It returns s with what was done, and may be repeated after a crash. ErrGone and ErrNotSuspendable are final; any other error
	// may be tried again.
	Suspend(ctx context.Context, k Key, uid string, s v1alpha1.Suspension, bake string) (v1alpha1.Suspension, error)
	// Resume undoes what the mark says was done for the bake. That there is no such mark is no error, so that it may be repeated.
	// left says for which other workloads it stays suspended; empty when for none.
	Resume(ctx context.Context, k Key, uid string, s v1alpha1.Suspension, bake string) (left string, err error)
}

// Reverter has a workload put right where it is deployed from.
type Reverter interface {
	// Plan finds what to propose, and changes nothing.
	Plan(ctx context.Context, r Revert) (v1alpha1.Proposal, error)
	// Propose proposes it, once however often it is called, and returns p with where people find it. Errors that wrap
	// ErrNoProposal are final; any other may be tried again.
	Propose(ctx context.Context, r Revert, p v1alpha1.Proposal) (v1alpha1.Proposal, error)
}

// Source answers questions about signals.
type Source interface {
	Read(ctx context.Context, q signals.Question) ([]signals.Reading, error)
}

// Finder finds what measures a workload.
type Finder interface {
	// Find looks for the queries behind the signals of those names, which policy leaves to presets, as of the time given. An
	// error means that it cannot be known in full now; what was found is returned all the same.
	Find(ctx context.Context, s Search) (Findings, error)
}

// Search is what a Finder is asked.
type Search struct {
	Key
	Signals  []string
	From, To v1alpha1.Revision // From is empty when there is none
	Past     time.Time         // begin of the past in which From served
	At       time.Time
}

// Findings are what measures a workload, and what does not.
type Findings struct {
	Measured    []signals.Found
	NotMeasured []v1alpha1.NotMeasured
	Service     string // that leads to the workload: the variable $service; empty when there is none
	// Away are the sources that could not be asked, and why.
	Away map[string]string
}

// Records keeps the Bakes.
type Records interface {
	// List calls each for every Bake, of all namespaces watched.
	List(ctx context.Context, each func(*v1alpha1.Bake)) error
	// Create records a new Bake; if one of that name is there already it is returned instead.
	Create(ctx context.Context, b *v1alpha1.Bake) (*v1alpha1.Bake, error)
	// Update writes the status, if nobody else has written it since b was read; ErrConflict says somebody has.
	Update(ctx context.Context, b *v1alpha1.Bake) (*v1alpha1.Bake, error)
	// Get reads one Bake; ErrNoRecord says there is none.
	Get(ctx context.Context, namespace, name string) (*v1alpha1.Bake, error)
	Delete(ctx context.Context, namespace, name string) error
}

// Errors of Records.
var (
	ErrConflict = errors.New("the bake was written by somebody else")
	ErrNoRecord = errors.New("the bake does not exist")
)

// Teller tells people.
type Teller interface {
	// Receivers are the names of those who are to be told the story.
	Receivers(s announce.Story) []string
	// Tell hands a story over to be delivered to the receivers not named in told. It does not block.
	Tell(s announce.Story, told []string)
	// Alert sends the alerts that fire now, and those just resolved.
	Alert(ctx context.Context, alerts []announce.Alert) error
}

// Recorder keeps what the judge was given, so that it may be judged again elsewhere.
type Recorder interface {
	// Record takes all that the judge was given for the bake of that name so far. It does not block, and keeps nothing of in.
	Record(k Key, bake string, in decide.Input)
}
