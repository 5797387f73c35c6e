package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// The exit codes. Scripts depend on them.
const (
	exitOK = iota
	exitFailed
	exitUsage
	exitNotFound
	exitRejected
	exitUnavailable
	exitUnknown
	exitVerify
)

// codedError is an error with an exit code and a next step.
type codedError struct {
	code int
	err  error
	next string // what to do, a sentence; may be empty
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// usage makes any error one of wrong usage.
func usage(err error) error {
	var coded *codedError
	if errors.As(err, &coded) {
		return err
	}
	return usagef("%w", err)
}

func exitCode(err error) int {
	var coded *codedError
	var problem *wire.Problem
	var shown *shownError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &shown):
		return shown.code
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, client.ErrOutcomeUnknown):
		return exitUnknown
	case errors.Is(err, client.ErrConfig):
		return exitUsage
	case errors.As(err, &problem) && problem.Code == wire.CodeBadRequest:
		return exitUsage
	case errors.Is(err, client.ErrNotFound):
		return exitNotFound
	case errors.Is(err, client.ErrRejected):
		return exitRejected
	case errors.Is(err, client.ErrUnavailable):
		return exitUnavailable
	}
	return exitFailed
}

// explain prints what failed, on one line, and below it, indented, further lines and what to do next. command
// is what was asked for.
func (a *app) explain(err error, command string) {
	if errors.As(err, new(*shownError)) {
		return
	}
	text := "interrupted"
	if !errors.Is(err, context.Canceled) {
		text = indented(err.Error())
	}
	fmt.Fprintf(a.err, "recount: %s\n", text)
	next := a.nextStep(err, command)
	if next == "" && text != "interrupted" && !strings.Contains(text, " --help") {
		next = fmt.Sprintf("%q shows what it takes, with examples.", command+" --help")
	}
	if next != "" {
		fmt.Fprintf(a.err, "  %s\n", indented(next))
	}
}

// indented sets off all lines but the first.
func indented(text string) string {
	return strings.ReplaceAll(visible(strings.TrimSpace(text)), "\n", "\n  ")
}

// nextStep returns the next step after an error of a command, "" for none.
func (a *app) nextStep(err error, command string) string {
	var coded *codedError
	var problem *wire.Problem
	switch {
	case errors.As(err, &coded) && coded.next != "":
		return coded.next
	case errors.As(err, &problem) && problem.Code == wire.CodeUnauthorized:
		return a.place.credentialStep()
	case errors.As(err, &problem) && problem.Code == wire.CodeApprovalNeeded:
		return fmt.Sprintf("Another actor looks with \"recount approve show %[1]s\" and says \"recount approve "+
			"%[1]s --run\": that carries it out as it was asked for. --wait-approval lets this command wait.",
			shellWord(cmp.Or(a.opID, "OP_ID")))
	case errors.Is(err, client.ErrNotFound):
		return listOf(command)
	}
	return nextStep(err)
}

// credentialStep describes the refused credentials from what this tool itself knows. A node does not disclose what was
// wrong with them.
func (p place) credentialStep() string {
	switch {
	case p.TokenFile == "" && p.Cert == "":
		return "No token was given (" + p.Source +
			"): give its file with --token-file; operators make tokens with \"recount token create\"."
	case p.TokenFile == "":
		return "The node does not take the client certificate " + p.Cert + certificateFault(p.Cert) +
			"; docs/roles.md says what it must be."
	}
	text, err := os.ReadFile(p.TokenFile)
	if err != nil {
		return "The token file cannot be read any more: " + err.Error()
	}
	_, id, err := wire.ParseToken(strings.TrimSpace(string(text)))
	if err != nil {
		return "What " + p.TokenFile +
			" holds is no token, or a part of one: a token begins with rct_ and ends with a checksum that fits."
	}
	return fmt.Sprintf("This cluster does not know the token %s of %s, or it has expired or was revoked. Is it "+
		"the right cluster (%s)? An operator sees its state with \"recount token list\".",
		id, p.TokenFile, p.Source)
}

// certificateFault describes a certificate as its file shows it, "" if it cannot be read.
func certificateFault(path string) string {
	text, err := os.ReadFile(path)
	block, _ := pem.Decode(text)
	if err != nil || block == nil {
		return ""
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return ""
	case time.Now().After(leaf.NotAfter):
		return ", which expired at " + wire.Time(leaf.NotAfter)
	}
	return fmt.Sprintf(" (%s, serial number %s): another authority signed it, "+
		"it names another cluster, or it was revoked", leaf.Subject, leaf.SerialNumber.Text(16))
}

// listOf names the command that lists what was asked for and not found.
func listOf(command string) string {
	for _, l := range []struct{ command, lists string }{
		{"recount key", "recount key list"}, {"recount incident", "recount key list"},
		{"recount policy", "recount policy list"}, {"recount generation", "recount generation list"},
		{"recount approve", "recount approve list"}, {"recount token", "recount token list"},
		{"recount shard", "recount shard list"}, {"recount get", "recount audit"},
		{"recount cluster", "recount cluster status"},
		{"recount freeze", "recount freeze list"}, {"recount thaw", "recount freeze list"},
	} {
		if strings.HasPrefix(command, l.command) {
			return fmt.Sprintf("%q lists what there is.", l.lists)
		}
	}
	if command == "recount event" {
		return "The log has no such event yet; \"recount digest\" shows the last one."
	}
	return "Is this the right cluster? \"recount whoami\" says which one was asked."
}

func nextStep(err error) string {
	var coded *codedError
	var problem *wire.Problem
	switch {
	case errors.As(err, &coded) && coded.next != "":
		return coded.next
	case errors.Is(err, client.ErrOutcomeUnknown):
		return "The record may or may not have been committed. Submit the same bytes again: it is answered once."
	case errors.Is(err, client.ErrUntrusted):
		return untrustedStep(err)
	case errors.As(err, &problem) && problem.Code == wire.CodeForbidden:
		return "Ask with credentials that may, or let somebody else do it; docs/roles.md has the table, and " +
			"operators make tokens: \"recount token create\"."
	case errors.As(err, &problem) && problem.Code == wire.CodeStale:
		return "Look again at what stands: \"recount generation list\", \"recount generation diff N\", " +
			"\"recount freeze list\", \"recount key list\"."
	case errors.As(err, &problem) && problem.Code == wire.CodeOpIDReused:
		return "Give another --op-id, or none. \"recount operations\" shows what this one was used for."
	case errors.As(err, &problem) && problem.Code == wire.CodeNoAgreement:
		return "Nothing was switched. \"recount generation status N\" shows what each node reports."
	case errors.As(err, &problem) && problem.Code == wire.CodeDiskFull:
		return "Free space on that node, or drop a generation: \"recount generation list\"."
	case errors.Is(err, client.ErrCursorGone):
		return "Another generation answers now; start the list again without --cursor."
	case errors.As(err, &problem) && problem.Code == wire.CodeFrozen:
		return "Keep what was not taken and send it again later; \"recount freeze list\" says what is frozen and why."
	case errors.As(err, &problem) && problem.Code == wire.CodeNoLeader:
		return "Most nodes must run and see each other: \"recount cluster status\". Until then --local reads " +
			"what one node knows."
	case errors.As(err, &problem) && problem.Code == wire.CodeClock:
		return "Compare the clocks of the nodes (\"date -u\") and set right those that are wrong; " +
			"/readyz?verbose of each node says how far its clock is off."
	case errors.As(err, &problem) && problem.Type != "":
		return fmt.Sprintf("\"recount explain %s\" says what this means and what to do.", problem.Code)
	case errors.Is(err, client.ErrUnavailable) && errors.Is(err, context.Canceled):
		return "" // the nodes are not to blame
	case errors.Is(err, client.ErrUnavailable):
		return "Check that the nodes run (\"recount cluster status\") and try again, if need be with a longer " +
			"--timeout."
	case errors.Is(err, client.ErrProtocol):
		return "Something else answers at this endpoint; check --endpoint."
	}
	return ""
}

// untrustedStep returns the remedy for a TLS identity that was rejected.
func untrustedStep(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "Renew the node's certificate (recount-node certs create-node, docs/tls-mtls.md), or set the " +
			"clock of this machine."
	case errors.As(err, &name):
		return "Use a host name that is in the node's certificate, or make one with this name: recount-node " +
			"certs create-node --host."
	case errors.As(err, &notTLS), errors.Is(err, http.ErrSchemeMismatch):
		return "What answers at this endpoint does not speak TLS; check the port in --endpoint."
	}
	return "Give the authority that signed the node's certificate with --ca FILE, or the cluster's directory " +
		"with --dev DIR."
}
