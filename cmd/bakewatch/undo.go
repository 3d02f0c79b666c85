package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/hands"
	"github.com/bakewatch/bakewatch/watcher"
)

func newUndo() *cobra.Command {
	var k atKeyboard
	var c care
	var to int64
	cmd := &cobra.Command{
		Use:   "undo WORKLOAD",
		Short: "roll a workload back, whether it is baked, was held or has passed",
		Long: `Roll a workload back to the known good revision, or to the one named with --to.
It says what will come of it, asks, and writes the annotation ` + hands.UndoAnnotation + ` on the workload, with both revisions' numbers and who you are
to the API server. The daemon does the rest and records who asked: bakewatch status shows it. Guards that leave the decision to a person do not
hold it; those that say that it would not work do. You need the right to patch the workload and to read its revisions.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && to <= 0 {
				return fmt.Errorf("--to %d: name a revision's number, as in bakewatch history %s", to, args[0])
			}
			of, err := k.of(cmd.Context(), args[0])
			key, known := k.key(args[0], of)
			if err != nil && (!known || !errors.Is(err, hands.ErrUnknown)) { // it need not have been baked
				return err
			}
			client, err := k.client()
			if err != nil {
				return err
			}
			live, err := readLive(cmd.Context(), client, key, to)
			if err != nil {
				return err
			}
			word, err := hands.Undo(live, of, to, whoAmI(cmd.Context(), client))
			if err != nil {
				return err
			}
			return c.say(cmd, &k, client, word)
		},
	}
	k.flags(cmd)
	c.flags(cmd)
	cmd.Flags().Int64Var(&to, "to", 0, "number of the revision to go back to (default: the known good one)")
	cmd.ValidArgsFunction = k.names
	return cmd
}

// key is the workload that is meant: that of its bakes, or where it has none as it was written, if its kind is.
func (k *atKeyboard) key(text string, of []*v1alpha1.Bake) (bake.Key, bool) {
	if len(of) > 0 {
		return bake.Key{Kind: of[0].Spec.Workload.Kind, Namespace: of[0].Namespace, Name: of[0].Spec.Workload.Name}, true
	}
	w, err := hands.ParseWorkload(text)
	if err != nil || w.Kind == "" {
		return bake.Key{}, false
	}
	_, namespace, err := k.config()
	return bake.Key{Kind: w.Kind, Namespace: namespace, Name: w.Name}, err == nil
}

// readLive reads a workload as it is now, and its revision of that number.
func readLive(ctx context.Context, client kubernetes.Interface, key bake.Key, number int64) (hands.Live, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	w, err := watcher.Read(ctx, client, key)
	if err != nil {
		return hands.Live{}, err
	}
	cur := w.Current()
	if cur == nil || !w.CaughtUp {
		return hands.Live{}, fmt.Errorf("the controller of %s has not made a revision of what it is to run yet; ask again in a moment", key)
	}
	live := hands.Live{Namespace: key.Namespace, Workload: v1alpha1.WorkloadReference{Kind: key.Kind, Name: key.Name, UID: w.UID}, Current: cur.Revision}
	for i := range w.Versions {
		if v := &w.Versions[i]; v.Hash != cur.Hash {
			live.Others = append(live.Others, v.Revision)
		}
	}
	if v := w.Numbered(number); v != nil {
		live.Named = &v.Revision
	}
	return live, nil
}
