package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/recount-ledger/recount/wire"
)

// judgeCluster judges what the endpoints say together.
func judgeCluster(all []*facts) (out []Finding) {
	ids, builds := map[string][]string{}, map[string][]string{}
	leader, views := "", 0
	var members []wire.Member
	learners := map[string]wire.Member{}
	for _, f := range all {
		if f.version != nil {
			ids[f.version.ClusterID] = append(ids[f.version.ClusterID], f.node())
			build := strings.TrimSpace(f.version.Version + " " + f.version.Commit)
			builds[build] = append(builds[build], f.node())
		}
		if f.cluster == nil || f.removed() { // who was removed does not know who came since
			continue
		}
		views++
		if f.cluster.Leader != "" {
			leader = f.cluster.Leader
		}
		if len(f.cluster.Members) > len(members) {
			members = f.cluster.Members
		}
		for _, m := range f.cluster.Members {
			if m.Learner != nil {
				learners[m.ID] = m
			}
		}
	}
	if len(ids) > 1 {
		out = append(out, Finding{checkCluster, Critical, "",
			"the endpoints belong to different clusters: " + groups(ids), "recount whoami", "", "contexts.md"})
		return out
	}
	if len(builds) > 1 {
		out = append(out, Finding{checkVersions, Warning, "",
			"the nodes run different builds: " + groups(builds) + ". Bring the upgrade to its end",
			"recount version", "", "runbooks/upgrade.md"})
	}
	if views > 0 && leader == "" {
		out = append(out, Finding{checkLeader, Critical, "",
			"no node leads: nothing is accepted until a majority of the voters runs and reaches each other",
			"recount cluster status", "", "runbooks/lost-majority.md"})
	}
	for _, id := range slices.Sorted(maps.Keys(learners)) {
		out = append(out, judgeLearner(learners[id]))
	}
	out = append(out, judgeVersion(all)...)
	return append(out, judgeMembers(all, members)...)
}

// CommonVersion returns the newest cluster version that every member of a view knows, and the members that are not
// reachable.
func CommonVersion(c *wire.ClusterAnswer) (version uint32, away []string) {
	for _, m := range c.Members {
		switch {
		case m.KnowsVersion == nil:
			away = append(away, m.ID)
		case version == 0 || *m.KnowsVersion < version:
			version = *m.KnowsVersion
		}
	}
	return version, away
}

// judgeVersion finds an upgrade whose last step is missing. While a member is away, nobody can tell.
func judgeVersion(all []*facts) []Finding {
	var active, common uint32
	for _, f := range all {
		if f.cluster == nil || f.removed() {
			continue
		}
		version, away := CommonVersion(f.cluster)
		if len(away) > 0 {
			return nil
		}
		active = max(active, f.cluster.ClusterVersion)
		if common == 0 || version < common {
			common = version
		}
	}
	if active == 0 || common <= active {
		return nil
	}
	return []Finding{{checkUpgrade, Note, "", fmt.Sprintf("every member knows cluster version %d, and the cluster is at "+
		"%d. Raise it when no node has to go back to the release before", common, active),
		`recount cluster upgrade --reason "all members are upgraded"`, "", "runbooks/upgrade.md"}}
}

// judgeLearner judges a learner by what the leader says of it.
func judgeLearner(m wire.Member) Finding {
	l := m.Learner
	switch {
	case l.Promotable:
		return Finding{checkLearner, Note, m.ID, "it is a learner that keeps up, and does not vote yet",
			"recount cluster promote " + m.ID + ` --reason "it keeps up"`, "", "members.md"}
	case m.State == "unreachable", l.StalledS >= uint64(LearnerStalled/time.Second):
		return Finding{checkLearner, Warning, m.ID,
			fmt.Sprintf("it is a learner that does not catch up: it lacks %d entries of the leader and has taken none "+
				"for %d s (%s)", l.Lacks, l.StalledS, l.Why),
			"systemctl status recount-node", m.ID, "members.md"}
	}
	return Finding{checkLearner, Note, m.ID, fmt.Sprintf("it is a learner that catches up: it lacks %d entries of the "+
		"leader", l.Lacks), "recount cluster status", "", "members.md"}
}

// judgeMembers judges how many voters the cluster can still lose.
func judgeMembers(all []*facts, members []wire.Member) (out []Finding) {
	voters, up := 0, 0
	var away []string
	for _, m := range members {
		if m.Suffrage != "voter" {
			continue
		}
		voters++
		if reachable(all, m) {
			up++
		} else {
			away = append(away, m.ID)
		}
	}
	for _, id := range away {
		if !named(all, id) {
			out = append(out, Finding{checkAnswer, Warning, id, "the other members do not reach it",
				"systemctl status recount-node", id, "runbooks/lost-node.md"})
		}
	}
	majority := voters/2 + 1
	switch {
	case voters == 0:
	case up < majority:
		out = append(out, Finding{checkVoters, Critical, "",
			fmt.Sprintf("%d of %d voters are up and a majority is %d: nothing is accepted", up, voters, majority),
			"recount cluster status", "", "runbooks/lost-majority.md"})
	case voters == 1:
		out = append(out, Finding{checkVoters, Note, "", "the only voter cannot be lost without loss of data",
			"recount cluster status", "", "deploy.md"})
	case up == majority && up < voters:
		out = append(out, Finding{checkVoters, Warning, "",
			fmt.Sprintf("%d of %d voters are up: with one less nothing is accepted", up, voters),
			"recount cluster status", "", "runbooks/lost-node.md"})
	case voters%2 == 0:
		out = append(out, Finding{checkVoters, Note, "",
			fmt.Sprintf("%d voters can lose no more of them than %d can", voters, voters-1),
			"recount cluster status", "", "deploy.md"})
	}
	return out
}

// reachable reports whether a member answers somebody: us, or another member.
func reachable(all []*facts, m wire.Member) bool {
	for _, f := range all {
		if f.err == nil && f.node() == m.ID {
			return true
		}
		if f.cluster == nil {
			continue
		}
		for _, other := range f.cluster.Members {
			if other.ID == m.ID && other.State != "unreachable" {
				return true
			}
		}
	}
	return false
}

// named reports whether the member is one of the endpoints, which have findings of their own.
func named(all []*facts, id string) bool {
	return slices.ContainsFunc(all, func(f *facts) bool { return f.node() == id })
}

// judgeDigests compares digests at one event. Outcomes of two generations are not compared: a node may be an event
// behind an activation.
func judgeDigests(all []*facts, digests map[int]*wire.DigestAnswer) []Finding {
	logs, controls, states := map[string][]string{}, map[string][]string{}, map[string]map[string][]string{}
	seq := uint64(0)
	for i, f := range all {
		d := digests[i]
		if d == nil {
			continue
		}
		seq = d.Seq
		logs[d.Log] = append(logs[d.Log], f.node())
		controls[d.Control] = append(controls[d.Control], f.node())
		generation := fmt.Sprint(d.Generation)
		if states[generation] == nil {
			states[generation] = map[string][]string{}
		}
		states[generation][d.State] = append(states[generation][d.State], f.node())
	}
	differ := func(what string, by map[string][]string) []Finding {
		if len(by) < 2 {
			return nil
		}
		return []Finding{{checkDigests, Critical, "",
			fmt.Sprintf("the nodes differ in the digest of %s at event %d: %s", what, seq, groups(by)),
			fmt.Sprintf("recount digest --seq %d", seq), "", "runbooks/damage.md"}}
	}
	out := append(differ("the log", logs), differ("the control state", controls)...)
	for _, by := range states {
		out = append(out, differ("the outcomes", by)...)
	}
	return out
}

// groups lists values with the nodes that have them, in order.
func groups(by map[string][]string) string {
	var parts []string
	for value, nodes := range by {
		slices.Sort(nodes)
		if len(value) > 16 {
			value = value[:16]
		}
		parts = append(parts, strings.Join(nodes, ", ")+" "+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
