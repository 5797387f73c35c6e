package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
)

func (a recordCommands) checkCommand() *cobra.Command {
	f := submitFlags{concurrency: 8, order: orderNone, dry: true}
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Show the answers to signed records without submitting them",
		Long: `check asks a node how it would answer a submission of the same bytes now. The node runs the code that judges a submission,
rate limits included, and keeps nothing. You can correct the record and check again, and its pcs_id stays free. It needs a token
of any role. Files are as for "recount submit". A single record prints its answer, and several print a count of each answer.
Each record is judged as the next one of the ledger, without those before it in the file.

Exit code: 0 all would be answered 200 or 202, 4 some would be rejected, 5 some got no answer.`,
		Example: `  recount check record.json
  recount sign --scheme pcs/2 --key-file agent.key record.json | recount check -
  recount check -o ndjson records.ndjson | jq -r 'select(.status >= 400) | .problem.error'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactArgs("FILE (or - for stdin)")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.submit(cmd.Context(), f, args) },
	}
	cmd.Flags().BoolVar(&f.keepGoing, "keep-going", false, "go on after a record without an answer")
	return cmd
}

// onlyCheck turns a submission into the question what it would be answered. It is false for a line of a corpus
// that is no submission.
func (j *request) onlyCheck() bool {
	if j.http.Method != http.MethodPost || j.http.Path != client.SubmitPath {
		return false
	}
	j.http.Path = client.CheckPath
	return true
}

// dryVerdict turns the summary of checks into the error that the exit code comes from.
func (r *report) dryVerdict() error {
	s := &r.sum
	switch {
	case r.firstOf[unavailable] != nil:
		return &codedError{exitUnavailable,
			fmt.Errorf("%d of %d records got no answer; first %w", s.Unavailable, s.Records,
				r.firstOf[unavailable]),
			nextStep(r.firstOf[unavailable]) + "\nNothing was submitted."}
	case r.firstOf[failed] != nil:
		return r.firstOf[failed]
	case r.last.problem != nil && !r.last.problem.DryRun:
		return &client.Error{
			Endpoint: r.last.response.Endpoint,
			Attempts: r.last.response.Attempts,
			Status:   r.last.response.Status,
			Problem:  r.last.problem,
		}
	case s.Rejected > 0:
		return &codedError{exitRejected,
			fmt.Errorf("%d of %d records would be rejected; nothing was submitted", s.Rejected, s.Records),
			"\"recount explain CODE\" says what a reason means."}
	}
	return nil
}
