package event

// The cluster version of a ledger says which formats its log may hold. It begins with the genesis event and rises with
// ClusterVersionRaised, when every member runs a build that knows the next version. So a build can tell at one event
// whether it may go on, and until then every member can go back to the build before.
//
//	1  ledgers from before cluster versions: all kinds up to Restored, all members of policies, profiles and kernels
//	   of that time
//	2  the same and invitations of nodes, and every member knows cluster versions. What version 1 left to questions
//	   is certain
//
// A change of what a log may hold is a new version: a line here, NewestVersion, and the rows of the new kinds. The
// code that writes anything else that is new asks the ledger for its version first.
const (
	FirstVersion  uint32 = 1
	NewestVersion uint32 = 2 // the newest that this build can fold
)

// Version returns the cluster version from which on a ledger may hold events of kind k. The event that raises the
// version is allowed in all: whoever proposes it asks every member.
func (k Kind) Version() uint32 {
	if !k.Known() {
		return NewestVersion + 1
	}
	return max(kinds[k].version, FirstVersion)
}
