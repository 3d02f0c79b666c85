package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/act/rollback"
	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/hands"
)

// paused is a Deployment that Bakewatch has paused part-way.
type paused struct {
	bake.Key
	uid, bake string
}

func newRelease() *cobra.Command {
	var k atKeyboard
	var c care
	cmd := &cobra.Command{
		Use:   "release [WORKLOAD]",
		Short: "let go on what bakewatch has paused part-way, whether or not the daemon runs",
		Long: `Let go on what Bakewatch has paused part-way: one Deployment, all of a namespace, or with -A all there are. It takes the pause
and the annotation ` + bake.AnnotationPaused + ` away from those that carry it; what a person has paused stays paused. A bake that is under way goes
on, and does not pause its rollout again. Run it with -A before Bakewatch is uninstalled. You need the right to list and to patch Deployments.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if k.output != "" && k.output != "json" {
				return fmt.Errorf("-o %q: use json, or leave it out", k.output)
			}
			var w hands.Workload
			if len(args) == 1 {
				var err error
				if w, err = hands.ParseWorkload(args[0]); err != nil {
					return err
				}
				if w.Kind != "" && w.Kind != bake.KindDeployment {
					return fmt.Errorf("%s: only Deployments are ever paused", w)
				}
			}
			client, err := k.client()
			if err != nil {
				return err
			}
			_, namespace, err := k.config()
			if err != nil {
				return err
			}
			if k.all {
				namespace = metav1.NamespaceAll
			}
			found, err := pausedIn(cmd.Context(), client, namespace, w.Name)
			if err != nil {
				return err
			}
			return k.release(cmd, &c, client, found)
		},
	}
	k.flags(cmd)
	c.flags(cmd)
	cmd.Flags().BoolVarP(&k.all, "all-namespaces", "A", false, "in all namespaces")
	cmd.ValidArgsFunction = k.names
	return cmd
}

// pausedIn are the Deployments that carry the mark; of all names where name is empty.
func pausedIn(ctx context.Context, client kubernetes.Interface, namespace, name string) ([]paused, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var out []paused
	for options := (metav1.ListOptions{Limit: 500}); ; {
		if name != "" {
			options.FieldSelector = "metadata.name=" + name
		}
		list, err := client.AppsV1().Deployments(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list deployments: %w", err)
		}
		for _, d := range list.Items {
			if mark := d.Annotations[bake.AnnotationPaused]; mark != "" {
				out = append(out, paused{bake.Key{Kind: bake.KindDeployment, Namespace: d.Namespace, Name: d.Name}, string(d.UID), mark})
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return out, nil
		}
	}
}

// release says what will go on, asks, and lets it. What fails keeps nothing else from going on.
func (k *atKeyboard) release(cmd *cobra.Command, c *care, client kubernetes.Interface, found []paused) error {
	out := cmd.OutOrStdout()
	if k.output == "json" {
		out = cmd.ErrOrStderr()
	}
	type released struct {
		Namespace string `json:"namespace"`
		Workload  string `json:"workload"`
		Bake      string `json:"bake"`
		Released  bool   `json:"released"`
	}
	all := []released{}
	if len(found) == 0 {
		_, _ = fmt.Fprintln(out, "bakewatch has paused nothing here")
	}
	for _, p := range found {
		_, _ = fmt.Fprintf(out, "will let %s in %s go on, which was paused for bake %s\n", p.Ref(), p.Namespace, p.bake)
	}
	if len(found) > 0 {
		if err := c.ask(cmd, out); err != nil {
			return err
		}
	}
	var failed error
	undoer := &rollback.Undoer{Client: client}
	for _, p := range found {
		done := false
		if !c.dryRun {
			var err error
			if done, err = undoer.Release(cmd.Context(), p.Key, p.uid, p.bake); err != nil {
				failed = errors.Join(failed, err)
			}
		}
		all = append(all, released{p.Namespace, p.Ref(), p.bake, done})
		switch {
		case c.dryRun:
			_, _ = fmt.Fprintf(out, "%s in %s stays paused: dry run\n", p.Ref(), p.Namespace)
		case done:
			_, _ = fmt.Fprintf(out, "%s in %s goes on\n", p.Ref(), p.Namespace)
		}
	}
	if k.output == "json" {
		return errors.Join(failed, asJSON(cmd, all))
	}
	return failed
}
