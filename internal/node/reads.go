package node

import (
	"log/slog"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/recount"
)

// reader renders the control state for operators: keys, tokens, freezes, policies, operations.
type reader struct {
	cfg     *Config
	log     *slog.Logger
	derived *fsm.Derived
	gens    *recount.Manager
	keys    *heldKeys
	clock   *ledgerClock
	tokens  *tokensFile
}
