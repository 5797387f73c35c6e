package propose

import (
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
)

// NewEvent encodes a message as an event, with a new salt.
func NewEvent(kind event.Kind, m proto.Message) (event.Event, error) {
	var salt [event.SaltSize]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return event.Event{}, err
	}
	payload, err := event.NewPayload(salt, m)
	return event.Event{Kind: kind, Payload: payload}, err
}
