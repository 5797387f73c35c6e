package main

import (
	"context"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// getHistory lists every answer that was given to a record, one line for each.
func (a recordCommands) getHistory(ctx context.Context, given string, read client.Read) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	h, err := withTimeout(ctx, a.app, func(ctx context.Context) (*wire.PCSHistory, error) {
		id, err := recordID(ctx, c, given, read)
		if err != nil {
			return nil, err
		}
		h, err := client.History(ctx, c, id, read)
		if err != nil {
			return nil, a.noAnswer(ctx, c, given, read, err)
		}
		return h, nil
	})
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return a.printJSON(h)
	}
	t := a.table(count("SUBMISSION", 3), count("FROM SEQ", 1), moment("AT", 8), word("OUTCOME", 2), word("ACCEPTED", 5),
		text("REASON", 4, 10), count("GENERATION", 6), hexID("POLICY", 9), word("BECAUSE", 7), extra(text("BY", 10, 8)),
		extra(text("WHY", 11, 10)), extra(text("TICKET", 12, 6)))
	for _, s := range h.Submissions {
		for _, g := range s.Answers {
			t.row(s.Seq, g.FromSeq, g.At, g.Outcome, g.Accepted, dash(g.ReasonCode), g.Generation, dash(g.Policy), g.By,
				dash(g.Actor), dash(g.Reason), dash(g.Ticket))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if h.More {
		a.moreSubmissions(h.PCSID)
	}
	return nil
}

// moreSubmissions is the note under a list that leaves submissions out.
func (a recordCommands) moreSubmissions(id string) {
	a.notef("The record has more submissions than are listed here. All of them: recount audit --pcs %s", id)
}
