package main

import (
	"github.com/spf13/cobra"

	"github.com/bakewatch/bakewatch/hands"
)

func newResume() *cobra.Command {
	var k atKeyboard
	var c care
	cmd := &cobra.Command{
		Use:   "resume WORKLOAD",
		Short: "let Argo CD or Flux go on with a workload that it was told to leave alone when it was rolled back",
		Long: `Let Argo CD or Flux go on with a workload that it was told to leave alone when it was rolled back. It then makes of it what Git says:
see first that Git is right.
It says what will come of it, asks, and writes the annotation ` + hands.ResumeAnnotation + ` on the workload, with the number of the revision that was
rolled back and who you are to the API server. The daemon puts back what was there before, by its mark, and records who asked. You need the right to
patch the workload.`,
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
			word, err := hands.Resume(of, whoAmI(cmd.Context(), client))
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
