package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/term"
	"github.com/recount-ledger/recount/wire"
)

// about reads the members of an event as the node writes them: whole numbers of 64 bits as text, others as numbers.
type about map[string]any

func (m about) text(name string) string {
	switch v := m[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = fmt.Sprint(x)
		}
		return strings.Join(parts, " ")
	}
	return ""
}

// id is the beginning of an id, which can be given where ids are taken.
func (m about) id(name string) string { return term.ShortID(m.text(name), 12) }

// minute returns a moment as one reads it in a sentence, and "" for none.
func (m about) minute(name string) string {
	ns, err := strconv.ParseInt(m.text(name), 10, 64)
	if err != nil || ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z")
}

func (m about) scope() string {
	if subject := m.text("subject"); subject != "" {
		return m.text("scope") + " " + subject
	}
	return "everything"
}

// longHex is an id or a digest inside a sentence.
var longHex = regexp.MustCompile(`[0-9a-f]{64,}`)

// operationTexts describes the effect of an event of each kind, in words.
var operationTexts = map[event.Kind]func(about) string{
	event.PolicyPublished: func(m about) string { return "published policy " + m.id("policy") },
	event.PolicyApplied:   func(m about) string { return "put policy " + m.id("policy") + " in force" },
	event.GenerationStarted: func(m about) string {
		s := "started a generation of policy " + m.id("policy")
		if m.text("keys") == "1" {
			s += ", with hindsight"
		}
		return s
	},
	event.GenerationActivated: func(m about) string {
		verb := "activated"
		if back, _ := m["rollback"].(bool); back {
			verb = "rolled back"
		}
		return fmt.Sprintf("%s %s -> %s", verb, m.text("from"), m.text("generation"))
	},
	event.GenerationDropped: func(m about) string { return "dropped generation " + m.text("generation") },
	event.KeyAdded: func(m about) string {
		s := "registered " + m.text("key_id")
		if owner := m.text("owner"); owner != "" {
			s += " of " + owner
		}
		return s + during(" from ", m.minute("not_before")) + during(" until ", m.minute("not_after"))
	},
	event.KeyRevoked: func(m about) string {
		return "revoked " + m.text("key_id") + during(" since ", m.minute("since"))
	},
	event.KeyRetired:       func(m about) string { return "retired " + m.text("key_id") },
	event.KeySecretRetired: func(m about) string { return "retired the secret of " + m.text("key_id") },
	event.Frozen:           func(m about) string { return "froze " + m.scope() },
	event.Thawed:           func(m about) string { return "thawed " + m.scope() },
	event.ShardsKnown:      func(m about) string { return "expects the shards " + m.text("patterns") },
	event.TokenCreated: func(m about) string {
		return fmt.Sprintf("made token %s of %s, %s%s", m.text("id"), m.text("name"), m.text("role"),
			during(" until ", m.minute("expires_at")))
	},
	event.Restored: func(m about) string {
		s := "restored from cluster " + m.text("from_cluster_id") + ", events up to " + m.text("seq")
		if m.text("survivor") != "" {
			return s + " of node " + m.text("survivor") + ", certain up to " + m.text("floor_seq")
		}
		if m.text("backup_seq") != m.text("seq") {
			s += " of " + m.text("backup_seq")
		}
		return s + ", backup " + m.text("backup")
	},
	event.MemberChanged: func(m about) string {
		if m.text("change") == wire.MemberLeads {
			return strings.TrimSpace("moved leadership to " + cmp.Or(m.text("member"), "another voter"))
		}
		s := m.text("change") + " member " + m.text("member") + during(" at ", m.text("peer_address"))
		if m.text("invitation") != "" {
			s += " with its join token"
		}
		return s
	},
	event.ClusterVersionRaised: func(m about) string {
		return "raised the cluster version from " + m.text("from") + " to " + m.text("version")
	},
	event.MemberInvited: func(m about) string {
		return "invited node " + m.text("member") + during(" at ", m.text("peer_address"))
	},
	event.InvitationWithdrawn: func(m about) string { return "withdrew the invitation of node " + m.text("member") },
	event.TokenRevoked:        func(m about) string { return "revoked token " + m.text("id") },
	event.ActApproved: func(m about) string {
		return fmt.Sprintf("approved %s: %s", m.text("act_op_id"),
			longHex.ReplaceAllStringFunc(m.text("request"), func(id string) string { return term.ShortID(id, 12) }))
	},
}

// during joins a word and a time, if there is one.
func during(word, at string) string {
	if at == "" {
		return ""
	}
	return word + at
}

// operationText describes the effect of an operator's event, in words.
func operationText(i wire.OperationItem) string {
	for k, say := range operationTexts {
		if k.String() == i.Kind {
			return say(about(i.About))
		}
	}
	return strings.ReplaceAll(i.Kind, "_", " ") + " " + eventText(i.About)
}

// eventText is an event as JSON, for the kinds that have no words and for those who want it all.
func eventText(m map[string]any) string {
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
