package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/bakewatch/bakewatch/bake"
	"github.com/bakewatch/bakewatch/hands"
)

// saysManager is who writes what people say, in the workload's managed fields.
const saysManager = "kubectl-bakewatch"

// newVerb is a command by which a person says something of a rollout that is baked. It writes an annotation on the workload, which
// the daemon reads; it does nothing else itself.
func newVerb(v hands.Verb) *cobra.Command {
	var k atKeyboard
	var c care
	cmd := &cobra.Command{
		Use:   v.Name + " WORKLOAD",
		Short: v.Short,
		Long: strings.ToUpper(v.Short[:1]) + v.Short[1:] + `.
It says what will come of it, asks, and writes the annotation ` + v.Annotation + ` on the workload, with the revision's number and who you are to the
API server. The daemon does the rest, by all guards but the one you answer, and records who asked. You need the right to patch the workload.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := k.of(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			client, err := k.client()
			if err != nil {
				return err
			}
			word, err := v.Say(of[0], whoAmI(cmd.Context(), client))
			if err != nil {
				return err
			}
			return c.say(cmd, &k, client, word)
		},
	}
	k.flags(cmd)
	c.flags(cmd)
	cmd.ValidArgsFunction = k.names
	return cmd
}

// care is how careful a command is that acts.
type care struct {
	yes    bool
	dryRun bool // nothing is written
	unsent bool // nor is the API server asked whether it would take it
}

func (c *care) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	flag := cmd.Flags().VarPF((*dryRun)(c), "dry-run", "", "server: say what would be done, and have the API server check it, but write nothing; client: without asking it")
	flag.NoOptDefVal = "server"
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions([]string{"none", "client", "server"}, cobra.ShellCompDirectiveNoFileComp))
}

// dryRun is care as kubectl's flag of that name.
type dryRun care

// String implements pflag.Value.
func (d *dryRun) String() string {
	switch {
	case d.unsent:
		return "client"
	case d.dryRun:
		return "server"
	}
	return "none"
}

// Set implements pflag.Value.
func (d *dryRun) Set(text string) error {
	switch text {
	case "none", "false":
		d.dryRun, d.unsent = false, false
	case "server", "true":
		d.dryRun, d.unsent = true, false
	case "client":
		d.dryRun, d.unsent = true, true
	default:
		return errors.New("must be none, client or server")
	}
	return nil
}

// Type implements pflag.Value.
func (d *dryRun) Type() string { return "string" }

// ask asks whether to go on, unless that is known.
func (c *care) ask(cmd *cobra.Command, out io.Writer) error {
	if c.yes || c.dryRun {
		return nil
	}
	_, _ = fmt.Fprint(out, "Go on? [y/N] ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		return errors.New("nothing was done; answer y, or give --yes")
	}
	return nil
}

// say says what will come of a word, asks, and writes it.
func (c *care) say(cmd *cobra.Command, k *atKeyboard, client kubernetes.Interface, word hands.Word) error {
	out := cmd.OutOrStdout()
	if k.output == "json" {
		out = cmd.ErrOrStderr()
	}
	_, _ = fmt.Fprintln(out, "will "+word.Does)
	if err := c.ask(cmd, out); err != nil {
		return err
	}
	if !c.unsent {
		if err := write(cmd.Context(), client, word, c.dryRun); err != nil {
			return err
		}
	}
	if k.output == "json" {
		return asJSON(cmd, map[string]any{"namespace": word.Namespace, "bake": word.Bake, "workload": word.Ref, "annotation": word.Annotation, "value": word.Value, "dryRun": c.dryRun})
	}
	done := "written; kubectl bakewatch status shows what comes of it"
	switch {
	case c.unsent:
		done = "not written: dry run"
	case c.dryRun:
		done = "not written: dry run; the API server would take it"
	}
	_, err := fmt.Fprintf(out, "annotation %s: %q %s\n", word.Annotation, word.Value, done)
	return err
}

// whoAmI is who the API server takes this person for; empty where it does not say.
func whoAmI(ctx context.Context, client kubernetes.Interface) string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(r.Status.UserInfo.Username), "_")
}

// write writes a word on the workload, if it is still the one that was baked.
func write(ctx context.Context, client kubernetes.Interface, w hands.Word, dryRun bool) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": w.Workload.UID, "annotations": map[string]string{w.Annotation: w.Value}}})
	if err != nil {
		return fmt.Errorf("make the patch: %w", err)
	}
	options := metav1.PatchOptions{FieldManager: saysManager}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	apps := client.AppsV1()
	switch w.Workload.Kind {
	case bake.KindDeployment:
		_, err = apps.Deployments(w.Namespace).Patch(ctx, w.Workload.Name, types.MergePatchType, patch, options)
	case bake.KindStatefulSet:
		_, err = apps.StatefulSets(w.Namespace).Patch(ctx, w.Workload.Name, types.MergePatchType, patch, options)
	case bake.KindDaemonSet:
		_, err = apps.DaemonSets(w.Namespace).Patch(ctx, w.Workload.Name, types.MergePatchType, patch, options)
	default:
		return fmt.Errorf("%s is no workload that can be annotated", w.Ref)
	}
	if err != nil {
		return fmt.Errorf("annotate %s/%s: %w", w.Namespace, w.Ref, err)
	}
	return nil
}
