package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bakewatch/bakewatch/api/v1alpha1"
	"github.com/bakewatch/bakewatch/hands"
	"github.com/bakewatch/bakewatch/records"
)

// askTimeout bounds what one command asks of the cluster.
const askTimeout = 30 * time.Second

// atKeyboard are the flags of commands for people: kubectl's own, and where to look.
type atKeyboard struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
	all       bool
	output    string
	pages     bool // it can write a page
}

// The outputs of a report: markdown, which it is when nothing is said, and what a browser shows.
const (
	markdown = "markdown"
	page     = "html"
)

func (k *atKeyboard) flags(cmd *cobra.Command) {
	k.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	fl := cmd.Flags()
	fl.StringVar(&k.rules.ExplicitPath, "kubeconfig", "", "path of the kubeconfig file (default $KUBECONFIG or ~/.kube/config)")
	clientcmd.BindOverrideFlags(&k.overrides, fl, clientcmd.RecommendedConfigOverrideFlags(""))
	usage, outputs := "json, or for people when absent", []string{"json"}
	if k.pages {
		usage, outputs = "markdown, html or json", []string{markdown, page, "json"}
	}
	fl.StringVarP(&k.output, "output", "o", "", usage)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
}

// config is how the cluster is reached, and the namespace that the flags name.
func (k *atKeyboard) config() (config *rest.Config, namespace string, err error) {
	client := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(k.rules, &k.overrides)
	if namespace, _, err = client.Namespace(); err == nil {
		config, err = client.ClientConfig()
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.UserAgent = "bakewatch/" + showVersion()
	return config, namespace, nil
}

// client is the cluster itself.
func (k *atKeyboard) client() (kubernetes.Interface, error) {
	config, _, err := k.config()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a kubernetes client: %w", err)
	}
	return client, nil
}

// bakes are the Bakes of the namespace that the flags name, or of all.
func (k *atKeyboard) bakes(ctx context.Context) ([]*v1alpha1.Bake, error) {
	switch {
	case k.output == "", k.output == "json", k.pages && (k.output == page || k.output == markdown):
	case k.pages:
		return nil, fmt.Errorf("-o %q: use %s, %s or json, or leave it out", k.output, markdown, page)
	default:
		return nil, fmt.Errorf("-o %q: use json, or leave it out", k.output)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	config, namespace, err := k.config()
	if err != nil {
		return nil, err
	}
	var namespaces []string
	if !k.all {
		namespaces = []string{namespace}
	}
	all, err := records.New(config, namespaces)
	if err != nil {
		return nil, err
	}
	var out []*v1alpha1.Bake
	err = all.List(ctx, func(b *v1alpha1.Bake) { out = append(out, b) })
	return out, err
}

// of are the bakes of the workload that is named, newest first.
func (k *atKeyboard) of(ctx context.Context, workload string) ([]*v1alpha1.Bake, error) {
	w, err := hands.ParseWorkload(workload)
	if err != nil {
		return nil, err
	}
	all, err := k.bakes(ctx)
	if err != nil {
		return nil, err
	}
	return hands.Of(all, w)
}

// names completes the names of workloads that have bakes.
func (k *atKeyboard) names(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := k.bakes(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, b := range hands.Newest(all) {
		out = append(out, b.Spec.Ref)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func newStatus() *cobra.Command {
	var k atKeyboard
	cmd := &cobra.Command{
		Use:   "status [WORKLOAD]",
		Short: "how the newest rollout of each workload stands",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := k.bakes(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				var w hands.Workload
				if w, err = hands.ParseWorkload(args[0]); err == nil {
					all, err = hands.Of(all, w)
				}
				if err != nil {
					return err
				}
			}
			newest := hands.Newest(all)
			switch {
			case k.output == "json":
				return asJSON(cmd, newest)
			case len(newest) == 0:
				_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no bake is on record here; is bakewatch running, and was anything rolled out since?")
				return err
			}
			return hands.WriteStatus(cmd.OutOrStdout(), newest, time.Now(), k.all)
		},
	}
	k.flags(cmd)
	cmd.Flags().BoolVarP(&k.all, "all-namespaces", "A", false, "in all namespaces")
	cmd.ValidArgsFunction = k.names
	return cmd
}

func newHistory() *cobra.Command {
	var k atKeyboard
	cmd := &cobra.Command{
		Use:   "history WORKLOAD",
		Short: "the rollouts of a workload, how each ended, and which revisions are known good",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := k.of(cmd.Context(), args[0])
			switch {
			case err != nil:
				return err
			case k.output == "json":
				return asJSON(cmd, of)
			}
			return hands.WriteHistory(cmd.OutOrStdout(), of, time.Now())
		},
	}
	k.flags(cmd)
	cmd.ValidArgsFunction = k.names
	return cmd
}

func newSignals() *cobra.Command {
	var k atKeyboard
	cmd := &cobra.Command{
		Use:   "signals WORKLOAD",
		Short: "what measures a workload, and what does not, and why",
		Long:  "What was found to measure a workload when its newest bake began, and which presets were not chosen, and why.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := k.of(cmd.Context(), args[0])
			switch {
			case err != nil:
				return err
			case k.output == "json":
				return asJSON(cmd, struct {
					FoundAt     any                    `json:"foundAt"`
					Service     string                 `json:"service,omitempty"`
					Measured    []v1alpha1.Measured    `json:"measured"`
					NotMeasured []v1alpha1.NotMeasured `json:"notMeasured"`
				}{of[0].Status.FoundAt, of[0].Status.Service, of[0].Status.Measured, of[0].Status.NotMeasured})
			}
			return hands.WriteSignals(cmd.OutOrStdout(), of[0])
		},
	}
	k.flags(cmd)
	cmd.ValidArgsFunction = k.names
	return cmd
}

func newReport() *cobra.Command {
	var k atKeyboard
	cmd := &cobra.Command{
		Use:   "report BAKE|WORKLOAD",
		Short: "what happened, as Markdown: of a bake, or of the newest one of a workload",
		Long: `What happened, for a person who was not there: what is left to do, why, the numbers, the timeline, what changed, how new pods were, and
the runbook's checklist with what was found. Of the bake of that name, or of the newest one of a workload. As Markdown; with -o html as one
page that needs nothing else.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := k.bakes(cmd.Context())
			if err != nil {
				return err
			}
			for _, b := range all {
				if b.Name == args[0] {
					return k.report(cmd, b)
				}
			}
			w, err := hands.ParseWorkload(args[0])
			if err != nil {
				return err
			}
			of, err := hands.Of(all, w)
			if err != nil {
				return err
			}
			return k.report(cmd, of[0])
		},
	}
	k.pages = true
	k.flags(cmd)
	cmd.ValidArgsFunction = k.names
	return cmd
}

func (k *atKeyboard) report(cmd *cobra.Command, b *v1alpha1.Bake) error {
	switch k.output {
	case "json":
		return asJSON(cmd, b)
	case page:
		return hands.WritePage(cmd.OutOrStdout(), b)
	}
	return hands.WriteReport(cmd.OutOrStdout(), b)
}

func asJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}
