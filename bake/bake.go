// Package bake is the supervised life of one rollout: its vocabulary, the ledger of what is known of every workload, the
// pure function that decides a bake's next step, and the loop that carries the steps out. It reaches Kubernetes and the
// vendors only through the small interfaces in world.go.
package bake

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
)

// Key names a workload while it lives under that name.
type Key struct {
	Kind, Namespace, Name string
}

// String is the workload as people write it, namespace/kind/name.
func (k Key) String() string { return k.Namespace + "/" + k.Ref() }

// Ref is kind/name in lower case, as kubectl takes it.
func (k Key) Ref() string { return strings.ToLower(k.Kind) + "/" + k.Name }

// The kinds of workload.
const (
	KindDeployment  = "Deployment"
	KindStatefulSet = "StatefulSet"
	KindDaemonSet   = "DaemonSet"
)

// Sight is what the cluster says of a workload right now, as far as the watch has told.
type Sight struct {
	Key
	Exists      bool
	Unknown     bool // the watch does not work yet: nothing is known, not even that it exists
	UID         string
	Labels      map[string]string
	Annotations map[string]string
	Owner       Owner // who would write the template back after an undo; zero when nobody would
	Origin      Origin

	Digest    string // of the pod template; changes when the template does
	Number    int64  // revision number the controller last gave it; it lags the template. 0: it is kept elsewhere
	Paused    bool   // somebody keeps all pods from being replaced: a person, unless it is marked
	Recreate  bool   // all old pods go before the first new one comes
	AtOnce    int32  // how many new pods a Deployment's controller makes before any of them is ready
	OnDelete  bool   // pods are replaced only when somebody deletes them
	CaughtUp  bool   // the controller has seen the newest spec
	Replicas  int32  // wanted
	Held      int32  // how many of these are not replaced by the controller: all with OnDelete, or those below a partition
	Updated   int32  // pods of the newest template
	Total     int32  // pods of any template
	Available int32

	// Configs are the ConfigMaps that its pods read; nil when they are not followed, or not known yet.
	Configs []Config

	// Stuck is the controller's message once the rollout exceeded its progress deadline; empty before that.
	Stuck string
	// SettledAt is when the rollout last progressed, by the controller's condition; zero when it does not say.
	SettledAt time.Time
}

// Owner is a controller that keeps a workload's template as it wants it.
type Owner struct {
	GitOps bool   // it follows Git
	Name   string // what it is called, for people: Argo CD application shop
	Where  string // where to revert what it keeps, as a clause: in the Git repository that the application follows

	// Kind, Namespace and Object are what it follows Git by, as far as its marks tell: Application, Kustomization or HelmRelease.
	Kind, Namespace, Object string
}

// What controllers follow Git by.
const (
	KindApplication   = "Application"
	KindKustomization = "Kustomization"
	KindHelmRelease   = "HelmRelease"
)

// Complete reports whether the rollout is complete: every wanted pod is available, and new, but for those that are held. One
// at least is new.
func (s Sight) Complete() bool {
	due := max(s.Replicas-s.Held, min(s.Replicas, 1))
	return s.CaughtUp && s.Updated >= due && s.Total == s.Replicas && s.Available == s.Replicas
}

// Crew is how the pods of one revision are.
type Crew struct {
	Ready bool // one of them is ready
	// Lives is when each was born, by name; nil where their names tell of which revision they are.
	Lives map[string]time.Time
	// Late is a pod that is waited for to become ready, and what for; LateSince since when. Empty and zero when none is, and
	// where the controller itself says when it gives up.
	Late      string
	LateSince time.Time
}

// Rollout is a change of a workload from one revision to another.
type Rollout struct {
	Key
	UID         string
	From        *v1alpha1.Revision // last known good; nil when there is none
	To          v1alpha1.Revision
	StartedAt   time.Time
	Changes     []string // what differs, names only
	ChangedBy   string   // the tool that wrote the template
	RestartOnly bool     // only the restart annotation differs
	Digest      string   // of the template rolled out
	// InPlace says that the template is the same, and pods that run already read another configuration; Mark sets it apart from
	// other such rollouts.
	InPlace bool
	Mark    string
}

// Known is what the ledger remembers of a workload when the watcher looks for a rollout.
type Known struct {
	Seen       bool      // whether anything is known
	Hash       string    // of the revision it settled on; may be empty when only the number is known
	Number     int64     // of the revision it settled on
	Good       string    // hash of the last known good revision; empty when only its number is known, or none
	GoodNumber int64     // its number when last seen, used when Good is empty
	Undoing    string    // hash our own rollback goes, or went, back to
	Restarted  string    // value of the restart annotation that our own rollback sets; empty when it sets none
	Since      time.Time // when guarding began: what was rolled out before is not a rollout but the way things were
}

// Is reports whether a revision is the one it settled on.
func (k Known) Is(r v1alpha1.Revision) bool {
	return k.Seen && (k.Hash == r.Hash || k.Hash == "" && k.Number == r.Number)
}

// Finding is what the watcher makes of a change.
type Finding string

// The findings.
const (
	Same       Finding = "same"     // no rollout: what runs is what was known
	Waiting    Finding = "waiting"  // the controller has not caught up yet; look again
	PausedWait Finding = "paused"   // the template changed, and nothing rolls out yet: it is paused, or held by OnDelete or a partition
	Backlog    Finding = "backlog"  // it was like this before guarding began
	OwnUndo    Finding = "own-undo" // our own rollback
	Found      Finding = "rollout"  // a rollout
)

// Detection is what the watcher found, and what to remember.
type Detection struct {
	Finding Finding
	Current v1alpha1.Revision // what the template is called now; empty while Waiting or PausedWait
	Digest  string            // of the template looked at
	Rollout Rollout           // when Found
	Restart bool              // of our own rollback, when OwnUndo
}

// Errors an Undoer returns when it must not, or cannot, act. They are final: the bake ends by them.
var (
	ErrGone       = errors.New("the workload is gone")
	ErrNewer      = errors.New("the workload has been changed since it was judged")
	ErrPaused     = errors.New("the workload is paused")
	ErrNoRevision = errors.New("the revision to go back to no longer exists")
)

// ErrNotSuspendable wraps errors of a Keeper that trying again does not mend.
var ErrNotSuspendable = errors.New("it cannot be suspended")

// ErrNoProposal wraps errors of a Reverter that trying again does not mend.
var ErrNoProposal = errors.New("there is nothing to propose")

// ErrNotPermitted wraps errors that only a change of rights mends.
var ErrNotPermitted = errors.New("not permitted")

// Name is the name of the Bake of a rollout. It is made from the workload, its UID and the controller's revision number,
// so that a second writer collides instead of recording the same rollout twice.
func Name(k Key, uid string, number int64) string {
	name := k.Name
	if len(name) > 180 {
		name = strings.TrimRight(name[:180], ".-") // a dot before a dash is no valid name
	}
	return fmt.Sprintf("%s-%s-%.8s-%d", strings.ToLower(k.Kind), name, uid, number)
}

// VersionOf is what a revision's pods call their version: their label, or the tag of their first image. It is empty where
// they do not say.
func VersionOf(r *v1alpha1.Revision) string {
	if r == nil {
		return ""
	}
	if r.Version != "" || len(r.Images) == 0 {
		return r.Version
	}
	image, _, _ := strings.Cut(r.Images[0], "@")
	_, tag, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return tag
}

// podPrefix is how the names of a revision's pods begin. The API server cuts a generated name's base at 58 characters.
func podPrefix(r *v1alpha1.Revision) string {
	if r == nil || r.Name == "" {
		return ""
	}
	p := r.Name + "-"
	if len(p) > 58 {
		p = p[:58]
	}
	return p
}

func keyOf(b *v1alpha1.Bake) Key {
	return Key{Kind: b.Spec.Workload.Kind, Namespace: b.Namespace, Name: b.Spec.Workload.Name}
}

// id is the Bake as namespace/name.
func id(b *v1alpha1.Bake) string { return b.Namespace + "/" + b.Name }

func rev(r v1alpha1.Revision) string {
	return withConfiguration(fmt.Sprintf("rev %d", r.Number), r.Configuration)
}
