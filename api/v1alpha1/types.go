package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Phase is where in its life a Bake is. It is empty once the Bake has an Outcome.
// +kubebuilder:validation:Enum="";Rolling;Baking;RollingBack;Verifying
type Phase string

// The phases of a Bake, in order.
const (
	PhaseRolling     Phase = "Rolling"     // the new version is rolling out; none of its pods is ready yet
	PhaseBaking      Phase = "Baking"      // new pods serve; the signals are judged
	PhaseRollingBack Phase = "RollingBack" // the intent to roll back is recorded; the undo is carried out and followed
	PhaseVerifying   Phase = "Verifying"   // the old version is back; its recovery is measured
)

// Outcome is how a Bake ended.
// +kubebuilder:validation:Enum="";Passed;RolledBack;Held;Inconclusive;Superseded;Abandoned
type Outcome string

// The outcomes of a Bake.
const (
	OutcomePassed       Outcome = "Passed"       // no regression over the whole window
	OutcomeRolledBack   Outcome = "RolledBack"   // regressed, and the last known good revision was put back
	OutcomeHeld         Outcome = "Held"         // regressed, but a guard left the decision to a person
	OutcomeInconclusive Outcome = "Inconclusive" // not enough was seen to tell
	OutcomeSuperseded   Outcome = "Superseded"   // a newer rollout took its place
	OutcomeAbandoned    Outcome = "Abandoned"    // a person took over, or the workload went away
)

// WorkloadReference names the workload in the Bake's own namespace.
type WorkloadReference struct {
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Revision is one version of a workload.
type Revision struct {
	// Number is the controller's revision number. It only grows: undoing to an old template gives it a new number.
	Number int64 `json:"number"`
	// Hash is the controller's hash of the pod template; it comes back when the template comes back.
	Hash string `json:"hash"`
	// Name is the object that holds the revision's template: a ReplicaSet or a ControllerRevision.
	Name string `json:"name"`
	// Version is what the pods call their version: the label tags.datadoghq.com/version or app.kubernetes.io/version.
	// +optional
	Version string `json:"version,omitempty"`
	// Images are the images of its containers, in order.
	// +optional
	Images []string `json:"images,omitempty"`
	// Configuration is what tells it from other revisions of the same template: app-config@5f3ac1, a ConfigMap and the beginning
	// of its content's digest. Absent where the template tells.
	// +kubebuilder:validation:MaxLength=300
	// +optional
	Configuration string `json:"configuration,omitempty"`
	// ConfigMaps are the contents of the ConfigMaps that its pods read, where policy has them followed.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ConfigMaps []ConfigVersion `json:"configMaps,omitempty"`
}

// ConfigVersion is what was in a ConfigMap.
type ConfigVersion struct {
	Name string `json:"name"`
	// Digest is of its data, and nothing else.
	Digest string `json:"digest"`
}

// Again names an earlier rollout of the same template, which was rolled back.
type Again struct {
	// Number is the revision number that the template had then.
	Number int64 `json:"number"`
	// Bake is the record of it.
	Bake string `json:"bake"`
	// At is when it was rolled back.
	At metav1.MicroTime `json:"at"`
}

// ByHand is what a person asked.
type ByHand struct {
	// Word is the annotation's value, e.g. "7 to 5 ann@example.com".
	// +kubebuilder:validation:MaxLength=600
	Word string `json:"word"`
	// By is who asked, as the annotation says; absent when it does not.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	By string `json:"by,omitempty"`
}

// BakeSpec is what was rolled out, and the policy it is judged by. It is written once.
type BakeSpec struct {
	Workload WorkloadReference `json:"workload"`
	// Ref is the workload as people write it, kind/name; for printing.
	Ref string `json:"ref"`
	// Revisions is "from → to" by number; for printing.
	Revisions string `json:"revisions"`
	// From is the last known good revision: what the new one is compared with and what a rollback returns to.
	// Absent when there is none.
	// +optional
	From *Revision `json:"from,omitempty"`
	// To is the revision that is judged.
	To Revision `json:"to"`
	// StartedAt is when the rollout began.
	StartedAt metav1.MicroTime `json:"startedAt"`
	// BaselineUntil is when From stopped being the only version that served: its past is read up to here.
	BaselineUntil metav1.MicroTime `json:"baselineUntil"`
	// BaselineSince is when From began to serve alone; absent when that is not known.
	// +optional
	BaselineSince *metav1.MicroTime `json:"baselineSince,omitempty"`
	// Changes says what differs between From and To, names only, never values of variables or arguments.
	// +optional
	Changes []string `json:"changes,omitempty"`
	// ChangedBy is the tool that last wrote the pod template (its field manager).
	// +optional
	ChangedBy string `json:"changedBy,omitempty"`
	// RestartOnly says that nothing but the restart annotation differs.
	// +optional
	RestartOnly bool `json:"restartOnly,omitempty"`
	// Policy is the policy resolved for this workload when the bake began; thresholds are judged by this copy.
	// +kubebuilder:pruning:PreserveUnknownFields
	Policy runtime.RawExtension `json:"policy"`
	// Again says that the very template of To was rolled back before; the newest time it was.
	// +optional
	Again *Again `json:"again,omitempty"`
	// Labels are the workload's own when the bake began, by which what is told of it is routed.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// ByHand says that this is no rollout: a person asked to roll To back to From when no bake of To was under way.
	// +optional
	ByHand *ByHand `json:"byHand,omitempty"`
	// InPlace says that no pod was replaced: pods that ran already read another configuration.
	// +optional
	InPlace bool `json:"inPlace,omitempty"`
}

// Reason is one ground of a verdict or an outcome.
type Reason struct {
	// Code names the kind of reason, e.g. threshold, blind, budget.
	Code string `json:"code"`
	// Signal is the signal it speaks of, if any.
	// +optional
	Signal string `json:"signal,omitempty"`
	// Sentence is the reason for people, used word for word everywhere.
	Sentence string `json:"sentence"`
}

// Measured is one way in which a signal of the workload is measured.
type Measured struct {
	// Signal is the signal's name, Source what answers: prometheus, datadog, ...
	Signal string `json:"signal"`
	Source string `json:"source"`
	// Preset is the preset the query was taken from.
	// +optional
	Preset string `json:"preset,omitempty"`
	// By says how new and old pods are told apart: pod, version, or empty for the whole service.
	// +optional
	By string `json:"by,omitempty"`
	// The query, in the source's language. Which of these are set depends on what is measured.
	// +optional
	Errors string `json:"errors,omitempty"`
	// +optional
	Good string `json:"good,omitempty"`
	// +optional
	Requests string `json:"requests,omitempty"`
	// +optional
	Histogram string `json:"histogram,omitempty"`
	// Over is the duration above which a request is slow, e.g. 0.25s or 250ms, in the unit of the histogram.
	// +optional
	Over string `json:"over,omitempty"`
	// +optional
	Events string `json:"events,omitempty"`
	// +optional
	Value string `json:"value,omitempty"`
	// +optional
	BaselineValue string `json:"baselineValue,omitempty"`
}

// NotMeasured is a preset that does not measure the workload, and why.
type NotMeasured struct {
	// Signal is absent where it concerns all of them.
	// +optional
	Signal string `json:"signal,omitempty"`
	Source string `json:"source"`
	Preset string `json:"preset"`
	Why    string `json:"why"`
}

// SignalSummary is what a signal counted over the whole bake.
type SignalSummary struct {
	Name string `json:"name"`
	// Source is what answered; absent for prometheus.
	// +optional
	Source string `json:"source,omitempty"`
	// Candidate and Baseline are "errors / requests" over the bake, History the baseline's before the rollout; for a signal
	// that is a value, the median of it.
	// +optional
	Candidate string `json:"candidate,omitempty"`
	// +optional
	Baseline string `json:"baseline,omitempty"`
	// +optional
	History string `json:"history,omitempty"`
}

// Rollback is the record of an undo: the intent before the deed, and the receipts after it.
type Rollback struct {
	// IntendedAt is when the intent was recorded; the patch comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// Target is the revision that is put back.
	Target Revision `json:"target"`
	// Because is the sentence of the first reason.
	Because string `json:"because"`
	// PatchedAt is the receipt of the patch.
	// +optional
	PatchedAt *metav1.MicroTime `json:"patchedAt,omitempty"`
	// AvailableAt is when all pods of the target were available again.
	// +optional
	AvailableAt *metav1.MicroTime `json:"availableAt,omitempty"`
	// Freed are the pods of the bad version that stood in its way, and were deleted one by one: not ready, and not replaced
	// by their controller until they are gone. Each is recorded before it is deleted.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Freed []FreedPod `json:"freed,omitempty"`
	// Recovered says whether the signals came back to normal: Yes, No or Unknown; empty until it was measured.
	// +kubebuilder:validation:Enum="";Yes;No;Unknown
	// +optional
	Recovered string `json:"recovered,omitempty"`
	// Recovery is the sentence that says what was measured after the rollback.
	// +optional
	Recovery string `json:"recovery,omitempty"`
	// Suspension is that the controller which keeps the workload as Git has it is told to leave it alone first; absent when there
	// is none, or policy has it not suspended.
	// +optional
	Suspension *Suspension `json:"suspension,omitempty"`
	// Aftermath says what would bring the bad version back, or what goes on to tell of it, and what to do about that; empty: nothing.
	// +kubebuilder:validation:MaxLength=2000
	// +optional
	Aftermath string `json:"aftermath,omitempty"`
	// Helm is the release that goes back; absent where only the workload's template does.
	// +optional
	Helm *HelmRollback `json:"helm,omitempty"`
	// ConfigMaps are those whose content is put back, each before the template.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ConfigMaps []ConfigRestore `json:"configMaps,omitempty"`
	// Restart says that pods are replaced after that, because some were started with what was put back.
	// +optional
	Restart *Restart `json:"restart,omitempty"`
}

// Restart is a restart of a workload's pods, as by kubectl rollout restart. It gives the template a revision of its own, which
// becomes the rollback's target.
type Restart struct {
	// At is the value of the restart annotation, by which it is known again.
	At string `json:"at"`
	// DoneAt is the receipt.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
}

// HelmRollback is a rollback of a Helm release, of which the workload is a part.
type HelmRollback struct {
	// Release is the release's name, Namespace where its record is.
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace"`
	// From is the release's revision that is rolled back, To the one that is gone back to.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// SkipHooks says that the chart's rollback hooks are not run.
	// +optional
	SkipHooks bool `json:"skipHooks,omitempty"`
	// Others are the other workloads whose templates it changes, as kind/name.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Others []string `json:"others,omitempty"`
	// Failed says why the release could not be rolled back after all, so that only the template was put back.
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	Failed string `json:"failed,omitempty"`
}

// Suspension is the record of a controller that follows Git being told to leave a workload alone: the intent, and the receipts.
type Suspension struct {
	// Kind, Namespace and Name are what it follows Git by: an Application of Argo CD, a Kustomization or a HelmRelease of Flux.
	// +kubebuilder:validation:Enum=Application;Kustomization;HelmRelease
	Kind string `json:"kind"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +optional
	Name string `json:"name,omitempty"`
	// IntendedAt is when the intent was recorded; the deed comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// DoneAt is the receipt.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
	// Of is what was done, for people: automated sync of application argocd/shop.
	// +optional
	Of string `json:"of,omitempty"`
	// Already says that it was so before, and nothing was changed.
	// +optional
	Already bool `json:"already,omitempty"`
	// ResumedAt is when it was undone.
	// +optional
	ResumedAt *metav1.MicroTime `json:"resumedAt,omitempty"`
	// ResumedBy is who asked for that, as the annotation says; absent where it was undone because nothing was rolled back.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ResumedBy string `json:"resumedBy,omitempty"`
	// Left is what keeps it suspended although it was to be undone, for people: other workloads that need it still, or an error.
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	Left string `json:"left,omitempty"`
}

// ConfigRestore is one ConfigMap whose content is put back.
type ConfigRestore struct {
	Name string `json:"name"`
	// Judged is the digest of the content that was judged: no other is replaced.
	Judged string `json:"judged"`
	// Target is the digest of the content that is put back.
	Target string `json:"target"`
	// DoneAt is the receipt: the content is back, whoever put it back.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
}

// Approval is the question to people whether to roll back, and their answer.
type Approval struct {
	AskedAt metav1.MicroTime `json:"askedAt"`
	// Until is when the default applies if nobody has answered.
	Until metav1.MicroTime `json:"until"`
	// Default is what happens then: hold or rollback.
	// +kubebuilder:validation:Enum=hold;rollback
	Default string `json:"default"`
	// Answer is what people said; absent when nobody has answered.
	// +kubebuilder:validation:Enum=Approved;Rejected
	// +optional
	Answer string `json:"answer,omitempty"`
	// +optional
	AnsweredAt *metav1.MicroTime `json:"answeredAt,omitempty"`
	// By is who answered, as the annotation says; absent when it does not.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	By string `json:"by,omitempty"`
}

// FreedPod is one pod that stood in the way of a rollback.
type FreedPod struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	// IntendedAt is when the intent to delete it was recorded; the deletion comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// DoneAt is the receipt: it is gone, or on its way.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
	// Spared says that it was not deleted after all: it no longer stood in the way.
	// +optional
	Spared bool `json:"spared,omitempty"`
}

// PodLife is a pod of the new version, and when its life began.
type PodLife struct {
	Name string           `json:"name"`
	Born metav1.MicroTime `json:"born"`
}

// Migration is a database migration that was seen to run in the logs of the new version's pods, or of a Job that carries the
// rollout's labels.
type Migration struct {
	// Tool is what ran it: django, rails, laravel, alembic, flyway, liquibase, prisma, knex, golang-migrate or entity-framework.
	Tool string `json:"tool"`
	// Name is what the tool calls it, e.g. shop.0042_drop_price.
	// +kubebuilder:validation:MaxLength=200
	Name      string `json:"name"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	// At is when the line was printed.
	At metav1.MicroTime `json:"at"`
	// Schema and Data say whether it changed the schema, and whether it changed data: yes, no, or empty where neither its log
	// nor its name tells.
	// +kubebuilder:validation:Enum="";yes;no
	// +optional
	Schema string `json:"schema,omitempty"`
	// +kubebuilder:validation:Enum="";yes;no
	// +optional
	Data string `json:"data,omitempty"`
	// Removes says that it takes something away or renames it, which an older version may look for: drop_column.
	// +kubebuilder:validation:MaxLength=60
	// +optional
	Removes string `json:"removes,omitempty"`
	// ToldBy is by what Schema, Data and Removes are known: log, or name, which is a guess.
	// +kubebuilder:validation:Enum="";log;name
	// +optional
	ToldBy string `json:"toldBy,omitempty"`
}

// Alert is the alert that this bake keeps firing.
type Alert struct {
	// Name is the alert's name, e.g. BakewatchRolledBack.
	Name     string           `json:"name"`
	StartsAt metav1.MicroTime `json:"startsAt"`
	// Until is when it is resolved unless something resolves it earlier.
	Until metav1.MicroTime `json:"until"`
	// ResolvedAt is when the resolution was sent.
	// +optional
	ResolvedAt *metav1.MicroTime `json:"resolvedAt,omitempty"`
}

// Receipt says that a receiver was told of a stage of the bake.
type Receipt struct {
	// Receiver is its name in the policy: grafana, slack, webhook; or events.
	Receiver string `json:"receiver"`
	// Stage is what it was told: started, suspicion, deciding, ended, resolved.
	Stage string `json:"stage"`
	// ID is what the receiver calls it, if it answered with one.
	// +optional
	ID string           `json:"id,omitempty"`
	At metav1.MicroTime `json:"at"`
	// Error is set when delivery was given up.
	// +optional
	Error string `json:"error,omitempty"`
}

// BakeStatus is where the bake stands.
type BakeStatus struct {
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`
	// Why is the sentence of the first reason; for printing.
	// +optional
	Why string `json:"why,omitempty"`
	// +optional
	Reasons []Reason `json:"reasons,omitempty"`
	// Observed says that the policy was observe: what is told here was only said, not done.
	// +optional
	Observed bool `json:"observed,omitempty"`
	// KnownGood says that To may be gone back to: it passed, or served its window without a sign of trouble.
	// +optional
	KnownGood bool `json:"knownGood,omitempty"`
	// FirstReadyAt is when the first new pod was ready: judging starts here.
	// +optional
	FirstReadyAt *metav1.MicroTime `json:"firstReadyAt,omitempty"`
	// CompletedAt is when the rollout was complete: the bake's window counts from here.
	// +optional
	CompletedAt *metav1.MicroTime `json:"completedAt,omitempty"`
	// +optional
	EndedAt *metav1.MicroTime `json:"endedAt,omitempty"`
	// FoundAt is when it was looked for what measures the workload; absent while that is not known.
	// +optional
	FoundAt *metav1.MicroTime `json:"foundAt,omitempty"`
	// Service leads to the workload's pods; queries know it as $service.
	// +optional
	Service string `json:"service,omitempty"`
	// Measured is what was found for the signals that policy leaves to presets.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Measured []Measured `json:"measured,omitempty"`
	// NotMeasured are the presets that were not chosen.
	// +kubebuilder:validation:MaxItems=128
	// +optional
	NotMeasured []NotMeasured `json:"notMeasured,omitempty"`
	// +optional
	Signals []SignalSummary `json:"signals,omitempty"`
	// Pods are the new version's pods of a StatefulSet or DaemonSet, whose names do not tell of which version they are: those
	// that are gone, and at the end all, if they are not too many to keep.
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Pods []PodLife `json:"pods,omitempty"`
	// +optional
	Rollback *Rollback `json:"rollback,omitempty"`
	// +optional
	Alert *Alert `json:"alert,omitempty"`
	// Announced are the receipts of the receivers, one for each receiver and stage.
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Announced []Receipt `json:"announced,omitempty"`
	// Migrations are the database migrations that were seen to run with this rollout, in their order; the first of them, should
	// they be too many to keep.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Migrations []Migration `json:"migrations,omitempty"`
	// Evidence is how some of the new pods were when it was decided to act, or that a person has to: soon they are gone. Those
	// that do not run come first.
	// +kubebuilder:validation:MaxItems=3
	// +optional
	Evidence []PodEvidence `json:"evidence,omitempty"`
	// Warnings are what keeps this workload from being guarded well. They are no part of the verdict.
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Warnings []Reason `json:"warnings,omitempty"`
	// Blind are the sources that do not answer now, or did not at the end.
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Blind []BlindSource `json:"blind,omitempty"`
	// Approval is the question to people whether to roll back; absent when none was asked.
	// +optional
	Approval *Approval `json:"approval,omitempty"`
	// ByHand says that a person asked for the rollback while the rollout was baked.
	// +optional
	ByHand *ByHand `json:"byHand,omitempty"`
	// Courses are how the signals went, for people to look at: written when it was decided to act, or at the end. They are no part
	// of the verdict.
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Courses []Course `json:"courses,omitempty"`
	// ScaleDown is the lowering of replicas in place of a rollback; absent when none was intended.
	// +optional
	ScaleDown *ScaleDown `json:"scaleDown,omitempty"`
	// Pauses are the pauses of the rollout part-way, oldest first: at the share that policy names, and on a suspicion.
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Pauses []Pause `json:"pauses,omitempty"`
	// Proposal is what was asked for where the workload is deployed from; absent when nothing was.
	// +optional
	Proposal *Proposal `json:"proposal,omitempty"`
	// Suspicion says that most of the evidence had gathered that a regression takes, at one moment; absent where it never had.
	// It is no verdict.
	// +optional
	Suspicion *Suspicion `json:"suspicion,omitempty"`
	// Pasts are what sources that forget knew of the time before the rollout: what the new version is compared with, should the
	// daemon be restarted.
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Pasts []Past `json:"pasts,omitempty"`
}

// Past is what was counted of a signal before the rollout, in spans of time of the same length.
type Past struct {
	// Signal is its name and source: flow-checkout@probe.
	// +kubebuilder:validation:MaxLength=200
	Signal string `json:"signal"`
	// Blocks are the counts, the oldest first: requests, or requests:errors, or - where nothing is known; x5 stands for five of
	// them in a row.
	// +kubebuilder:validation:MaxLength=16384
	Blocks string `json:"blocks"`
}

// ScaleDown is the record of replicas that were lowered, because the new version's pods were killed for want of memory again and
// again, and it could not be rolled back: the intent before the deed, and the receipts after it.
type ScaleDown struct {
	// IntendedAt is when the intent was recorded; the patch comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// Replicas are lowered from From to To.
	From int32 `json:"from"`
	To   int32 `json:"to"`
	// DoneAt is the receipt of the patch.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
	// NotDone says why it was not done after all.
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	NotDone string `json:"notDone,omitempty"`
	// OverAt is when it was over: another revision runs, or somebody else set the replicas.
	// +optional
	OverAt *metav1.MicroTime `json:"overAt,omitempty"`
	// Restored says that replicas are back at From; else it was left to whoever set them.
	// +optional
	Restored bool `json:"restored,omitempty"`
}

// Course is how one signal went over a bake, in no more points than a small picture needs.
type Course struct {
	// Signal is the signal's name, Source what answered; absent for prometheus.
	Signal string `json:"signal"`
	// +optional
	Source string `json:"source,omitempty"`
	// Unit is what values are in: % of what was counted, or the unit of a value; absent where it has none.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Unit string `json:"unit,omitempty"`
	// What was counted: requests that failed; absent for a value.
	// +kubebuilder:validation:MaxLength=120
	// +optional
	What string `json:"what,omitempty"`
	// Limit is about what the new version may show at most, by the policy and by what the old one showed.
	// +kubebuilder:validation:MaxLength=24
	// +optional
	Limit string `json:"limit,omitempty"`
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Lines []CourseLine `json:"lines,omitempty"`
}

// CourseLine is one side of a Course.
type CourseLine struct {
	// Side is before, which is the old version before the rollout; new; old, which is it beside the new one; service in place of
	// these two where they cannot be told apart; or restored: the old version after the rollback.
	// +kubebuilder:validation:Enum=before;new;old;service;restored
	Side string `json:"side"`
	// From is where the first value's time begins, Step for how long each value is.
	From metav1.Time     `json:"from"`
	Step metav1.Duration `json:"step"`
	// Values are separated by commas. An empty one was not measured, or there was nothing to measure.
	// +kubebuilder:validation:MaxLength=1000
	Values string `json:"values"`
}

// Pause is one pause of the rollout part-way: the intent before each deed, and the receipt after it.
type Pause struct {
	// Why it was paused: canary, or suspicion.
	// +kubebuilder:validation:Enum=canary;suspicion
	Why string `json:"why"`
	// Sentence is the same for people, with the pods that were new then.
	Sentence string `json:"sentence"`
	// IntendedAt is when the intent was recorded; the patch comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// PausedAt is the receipt of the patch.
	// +optional
	PausedAt *metav1.MicroTime `json:"pausedAt,omitempty"`
	// EndsAt is when the intent to let it go on was recorded; the patch comes after.
	// +optional
	EndsAt *metav1.MicroTime `json:"endsAt,omitempty"`
	// Ended is why it ends, for people.
	// +optional
	Ended string `json:"ended,omitempty"`
	// ByHand says that a person let it go on.
	// +optional
	ByHand bool `json:"byHand,omitempty"`
	// ReleasedAt is the receipt: it is not paused by Bakewatch any more.
	// +optional
	ReleasedAt *metav1.MicroTime `json:"releasedAt,omitempty"`
}

// Proposal is the record of what was asked for where the workload is deployed from: the intent, and the receipt.
type Proposal struct {
	// Kind is what is asked for: that a revert is merged, or that a run of a workflow is done again.
	// +kubebuilder:validation:Enum=pull-request;workflow-run
	// +optional
	Kind string `json:"kind,omitempty"`
	// Repository is where, as owner/name.
	// +optional
	Repository string `json:"repository,omitempty"`
	// Branch is the pull request's: the key by which it is opened once.
	// +optional
	Branch string `json:"branch,omitempty"`
	// Workflow is the file of the workflow, Run the run of it, and Attempt how often that had been run.
	// +optional
	Workflow string `json:"workflow,omitempty"`
	// +optional
	Run int64 `json:"run,omitempty"`
	// +optional
	Attempt int `json:"attempt,omitempty"`
	// IntendedAt is when the intent was recorded; the deed comes after.
	IntendedAt metav1.MicroTime `json:"intendedAt"`
	// DoneAt is the receipt.
	// +optional
	DoneAt *metav1.MicroTime `json:"doneAt,omitempty"`
	// URL is where people find it.
	// +optional
	URL string `json:"url,omitempty"`
	// Error is why it was given up.
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	Error string `json:"error,omitempty"`
}

// Suspicion is what people who ask for it are told before it is decided.
type Suspicion struct {
	At metav1.MicroTime `json:"at"`
	// Sentence is what was seen until then.
	// +kubebuilder:validation:MaxLength=1000
	Sentence string `json:"sentence"`
	// Signal is by which signal.
	// +optional
	Signal string `json:"signal,omitempty"`
}

// BlindSource is a source that answered none of the bake's questions for two ticks or more.
type BlindSource struct {
	// Source is its name: prometheus, datadog, loki, logs or probe.
	Source string `json:"source"`
	// Since is the end of the last tick that it answered.
	Since metav1.MicroTime `json:"since"`
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	Why string `json:"why,omitempty"`
}

// PodEvidence is how a new pod was at a moment. Nothing that looks like a secret, and no value of the pod's variables, is in it.
type PodEvidence struct {
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Node string `json:"node,omitempty"`
	// State is one line: ready, or what keeps it from that.
	// +kubebuilder:validation:MaxLength=600
	State string `json:"state"`
	// Restarts is how often its container that ended most often has ended.
	// +optional
	Restarts int32 `json:"restarts,omitempty"`
	// Events are the newest warnings of it, oldest first.
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Events []string `json:"events,omitempty"`
	// Container is whose Lines these are: that which ended most often, before it ended, if any did.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Container string `json:"container,omitempty"`
	// Lines are the last that it wrote.
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Lines []string `json:"lines,omitempty"`
}

// Bake is the supervised life of one rollout, and its record.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=bakes,scope=Namespaced,shortName=bk
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.ref`
// +kubebuilder:printcolumn:name="From-To",type=string,JSONPath=`.spec.revisions`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Observed",type=boolean,JSONPath=`.status.observed`,priority=1
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.changedBy`,priority=1
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.why`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Bake struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BakeSpec `json:"spec"`
	// +optional
	Status BakeStatus `json:"status,omitempty"`
}

// BakeList is a list of Bakes.
// +kubebuilder:object:root=true
type BakeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Bake `json:"items"`
}
