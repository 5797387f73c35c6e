package projections

import (
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/event"
)

// ErrClusterVersion means that the log may hold what this build cannot fold.
var ErrClusterVersion = errors.New("projections: the ledger is at a cluster version that this build does not know")

// knowsVersion returns ErrClusterVersion for a cluster version that is newer than this build.
func knowsVersion(v uint32) error {
	if v > event.NewestVersion {
		return fmt.Errorf("%w: it is at %d, and this build knows versions up to %d", ErrClusterVersion, v,
			event.NewestVersion)
	}
	return nil
}

// genesisVersion returns the cluster version at which a ledger begins.
func genesisVersion(m *event.GenesisV1) (uint32, error) {
	v := max(m.ClusterVersion, event.FirstVersion)
	return v, knowsVersion(v)
}

// decideClusterVersionRaised applies a raise from the present version. Each build that does not know the new version
// stops here, before anything that it could not fold.
func decideClusterVersionRaised(c *Control, _ *operator, m *event.ClusterVersionRaisedV1) (Effect, error) {
	if m.From != c.version || m.Version <= m.From {
		return Ignored, nil
	}
	return Applied, knowsVersion(m.Version)
}

func applyClusterVersionRaised(c *Control, o *operator, m *event.ClusterVersionRaisedV1) error {
	c.version, c.raised = m.Version, append(c.raised, o.seq)
	return knowsVersion(m.Version)
}

// admits reports whether the ledger may hold events of kind k at its present version. c.mu must be held.
func (c *Control) admits(k event.Kind) bool { return k.Version() <= c.version }

// Admits reports whether events of kind k may be proposed at the cluster version that is folded here. An event that
// came earlier nevertheless would change nothing. Versions never fall, so an answer of true stays true.
func (c *Control) Admits(k event.Kind) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.admits(k)
}

// ClusterVersion returns the cluster version that is folded here.
func (c *Control) ClusterVersion() uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.version
}

// unknownKinds returns ErrUnknownKind if a newer build folded an event of a kind that this one does not know. Reading
// the rows of the known kinds alone would miss what it changed.
func unknownKinds(s Store) error {
	from := operatorKey(1, 0)
	for _, k := range event.Kinds() {
		if err := noRow(s, from, operatorKey(k, 0)); err != nil {
			return err
		}
		from = operatorKey(k+1, 0)
	}
	return noRow(s, from, []byte{spaceOperator + 1})
}

// noRow returns ErrUnknownKind if there is an operator row with from <= key < to.
func noRow(s Store, from, to []byte) error {
	var unknown error
	err := s.Scan(from, to, false, func(key, _ []byte) bool {
		unknown = fmt.Errorf("row %x: %w", key, ErrUnknownKind)
		return false
	})
	return errors.Join(err, unknown)
}
