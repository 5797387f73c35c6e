package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// hostsPlay is a script for three hosts: lines of pages and lines of the test, and what is expected of some of them.
type hostsPlay struct {
	t     *testing.T
	lines []string
	own   map[int]string // by number of a line of the test: what it must print
	want  []playedLine   // of the lines of pages, in their order
}

// add adds lines of the test, which must end with code 0.
func (p *hostsPlay) add(lines ...string) {
	for _, line := range lines {
		p.expect(line, "")
	}
}

// expect adds a line of the test that must print something, too.
func (p *hostsPlay) expect(line, prints string) {
	p.own[len(p.lines)] = prints
	p.lines = append(p.lines, line)
}

// check holds what the lines printed against what is expected.
func (p *hostsPlay) check(all []said) {
	p.t.Helper()
	var ofPages []said
	for i, s := range all {
		prints, own := p.own[i]
		if !own {
			ofPages = append(ofPages, s)
		} else if s.code != 0 || !strings.Contains(s.out, prints) {
			p.t.Errorf("%s: exit code %d, want %q:\n%s", s.line, s.code, prints, s.out)
		}
	}
	checkPlayed(p.t, ofPages, p.want)
}

// section adds the blocks of a page below the headings that begin so.
func (p *hostsPlay) section(page, heading string, want ...playedLine) {
	p.t.Helper()
	before := len(p.lines)
	for _, b := range readRunbook(p.t, page).blocks {
		if strings.HasPrefix(b.section, heading) {
			p.lines = append(p.lines, b.commands...)
		}
	}
	if len(p.lines) == before {
		p.t.Fatalf("%s has no block in a section %q", page, heading)
	}
	p.want = append(p.want, want...)
}

// until is a line that waits for a condition.
func until(condition string) string {
	return "timeout 90 bash -c '" + condition + "' && echo so"
}

// Conditions of node-2, for until.
const (
	secondReady    = `until curl -sf --cacert out/api-ca.crt https://10.0.0.2:9440/readyz >/dev/null; do sleep 0.2; done`
	secondNotReady = `while curl -sf --cacert out/api-ca.crt https://10.0.0.2:9440/readyz >/dev/null; do sleep 0.2; done`
	secondGone     = `while ssh root@10.0.0.2 "systemctl is-active recount-node" >/dev/null; do sleep 0.2; done`
)

// freshRecord submits a record that nobody has sent before.
func freshRecord(shard string) string {
	return `sed 's/shard-001/lab-7-` + shard + `/' testdata/record.json | recount sign --scheme pcs/2 --pcs-id --key-file agent-7.key | recount submit -`
}

const runbooksDir = "docs/runbooks/"

// TestRunbooksOnHosts plays the runbooks of docs/operations.md on the three hosts of docs/deploy.md. Before each one the
// test makes the fault, and between its sections it repairs what a person repairs on the machine.
func TestRunbooksOnHosts(t *testing.T) {
	dir := readmeCopy(t)
	program := hostsProgram(t, dir)
	if err := os.CopyFS(filepath.Join(dir, "deploy"), os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(dir, "bin", "recount-node")
	if err := os.Remove(node); err != nil {
		t.Fatal(err)
	}
	if err := harness.Build(root, node, "./cmd/node", "-tags", "faultclock"); err != nil {
		t.Fatal(err)
	}
	disks := exec.Command("unshare", "--mount", "sh", "-c", `truncate -s 64M "$0" && mkfs.ext4 -q "$0" && mount -o loop "$0" /mnt`,
		filepath.Join(t.TempDir(), "disk"))
	if out, err := disks.CombinedOutput(); err != nil {
		t.Skipf("this machine mounts no disks in files: %v: %s", err, out)
	}
	t.Setenv("HOSTS_DISKS", "1")
	p := &hostsPlay{t: t, own: map[int]string{}}
	p.deploy()
	p.lostNode()
	p.lostMajority()
	p.fullDisk()
	p.stuckDisk()
	p.certificate()
	p.clock()
	p.damage()
	p.upgrade()
	p.recoverMajority()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	p.check(playLinesBy(ctx, t, dir, program, p.lines))
}

// deploy plays docs/deploy.md up to the first record, with clocks that can be shifted.
func (p *hostsPlay) deploy() {
	p.t.Helper()
	const page = "docs/deploy.md"
	p.section(page, "2.")
	p.section(page, "3.")
	p.add(`for i in 1 2 3; do ssh root@10.0.0.$i 'mkdir -p /var/lib/clock && systemctl set-environment RECOUNT_FAULT_CLOCK=/var/lib/clock'; done`)
	for _, heading := range []string{"5.", "6.", "7.", "8."} {
		p.section(page, heading)
	}
	p.section("docs/operations.md", "top", playedLine{"recount submit first", 0, "accepted"}, playedLine{"recount doctor", 0, "all is well"})
}

func (p *hostsPlay) lostNode() {
	const page = runbooksDir + "lost-node.md"
	p.add(`ssh root@$HOST 'kill -9 $(cat /var/lib/systemd-of-the-host/pid)'`, until(secondGone))
	p.section(page, "1.", playedLine{"recount doctor", 1, "no answer"}, playedLine{"systemctl status", 3, "status=137"})
	p.section(page, "2.", playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"recount doctor", 0, "all is well"})
	p.section(page, "3.")
	p.add(`ssh root@$HOST 'systemctl enable recount-node'`)
	p.section(page, "4.", playedLine{"cluster status", 0, "3 of 3 ready"}, playedLine{"digest", 0, "3 endpoints agree"})
}

func (p *hostsPlay) lostMajority() {
	const page = runbooksDir + "lost-majority.md"
	p.add(`for i in 2 3; do ssh root@10.0.0.$i 'systemctl stop recount-node'; done`)
	p.section(page, "1.", playedLine{"recount doctor", 1, "1 of 3 voters are up"}, playedLine{"--local shard", 0, "lab-7-a"})
	p.section(page, "2.", playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"recount doctor", 1, "2 of 3 voters are up"})
	p.add(`ssh root@10.0.0.3 'systemctl start recount-node'`, until(strings.ReplaceAll(secondReady, "0.2:", "0.3:")))
	p.section(page, "3.", playedLine{"cluster status", 0, "3 of 3 ready"}, playedLine{"digest", 0, "3 endpoints agree"})
}

// recoverMajority loses the disks of two hosts for good. It comes last, since another cluster is left behind.
func (p *hostsPlay) recoverMajority() {
	const page = runbooksDir + "lost-majority.md"
	for _, i := range []string{"2", "3"} {
		p.add(`ssh root@10.0.0.`+i+` 'kill -9 $(cat /var/lib/systemd-of-the-host/pid); rm -r /var/lib/recount/*'`,
			until(strings.ReplaceAll(secondGone, "0.2 ", "0."+i+" ")))
	}
	p.section(page, "4.", playedLine{"--dir /var/lib/recount'", 0, "1 of 3 voters are left"},
		playedLine{"--compare", 0, "Keep the log of node-1 in /var/lib/recount"})
	p.section(page, "5.", playedLine{"--keep", 0, "May be lost"}, playedLine{"config check", 0, "(?m)^ok$"}, playedLine{"curl", 0, "(?m)^ok$"},
		playedLine{"recount digest", 0, ""}, playedLine{"recount operations", 0, "of node node-1, certain up to"})
	p.section(page, "6.", playedLine{"recount submit", 0, "accepted"})
	p.section(page, "7.", playedLine{"cluster status", 0, "3 of 3 ready"}, playedLine{"digest", 0, "3 endpoints agree"})
	p.expect(freshRecord("after"), "accepted")
}

func (p *hostsPlay) fullDisk() {
	const page = runbooksDir + "full-disk.md"
	p.add(`ssh root@$HOST 'fallocate -l $(($(df --output=avail -B1 /var/lib/recount | tail -1) - 104857600)) /var/lib/recount/filler'`,
		until(secondNotReady))
	p.section(page, "1.", playedLine{"recount doctor", 1, "(?s)critical  disk.*node-2"}, playedLine{"df -h", 0, "9[0-9]%"}, playedLine{"du -sh", 0, "filler"})
	p.expect(freshRecord("full"), "accepted")
	p.expect(`ssh root@$HOST 'timeout 5 bash -c "while :; do cat /dev/zero >> /var/lib/recount/filler 2>/dev/null; done"; df --output=avail /var/lib/recount; systemctl is-active recount-node'`, "\nactive")
	p.expect(freshRecord("brim"), "accepted")
	p.add(`ssh root@$HOST 'rm /var/lib/recount/filler'`)
	p.section(page, "3.", playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"cluster status", 0, "3 of 3 ready"}, playedLine{"is-active", 0, "active"})
}

// stuckDisk freezes the file system of a node that leads, so that its writes hang, and thaws it again.
func (p *hostsPlay) stuckDisk() {
	const page = runbooksDir + "stuck-disk.md"
	p.add(`until recount cluster status -o json | grep -q '"leader": "node-2"'; do l=$(recount cluster status -o json | grep -o '"leader": "node-[0-9]"' | grep -o '[0-9]' | head -1); `+
		`ssh root@10.0.0.$l 'systemctl restart recount-node'; `+until(strings.ReplaceAll(secondReady, "0.2:", "0.'$l':"))+`; done`,
		`ssh root@$HOST 'fsfreeze --freeze /var/lib/recount'`)
	p.expect(freshRecord("stuck"), "accepted")
	// The process gives up after 25 s, and cannot end before the disk works again.
	p.add(until(`until ssh root@10.0.0.2 "journalctl -u recount-node -n 5 --no-pager" | grep -q "the disk is stuck"; do sleep 0.5; done`))
	p.section(page, "1.", playedLine{"cluster status", 0, "leader node-[13]"}, playedLine{"systemctl status", 0, "Active"})
	p.add(`ssh root@$HOST 'fsfreeze --unfreeze /var/lib/recount'`, until(secondGone))
	p.section(page, "3.", playedLine{"recount-node doctor", 0, "all is well"}, playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"recount doctor", 0, "all is well"})
}

func (p *hostsPlay) certificate() {
	const page = runbooksDir + "expired-certificate.md"
	p.add(`recount-node certs create-node --cluster ledger --node $NODE --host $HOST --peer-ca out/pki/peer-ca --api-ca out/pki/api-ca --out out/$NODE --force --validity 6d`,
		`scp -q -p out/$NODE/*.crt out/$NODE/*.key root@$HOST:/etc/recount/ && ssh root@$HOST 'chown recount: /etc/recount/*'`,
		until("while recount doctor >/dev/null 2>&1; do sleep 0.5; done"))
	p.section(page, "1.", playedLine{"recount doctor", 1, "certificate ends in 5 days"})
	p.section(page, "2.")
	p.add(until("until recount doctor >/dev/null 2>&1; do sleep 0.5; done"))
	p.section(page, "3.", playedLine{"config check", 0, "(?m)^ok$"}, playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"recount doctor", 0, "all is well"})
}

func (p *hostsPlay) clock() {
	const page = runbooksDir + "wrong-clock.md"
	p.add(`ssh root@$HOST 'echo 1h > /var/lib/clock/node-2'`, until(secondNotReady))
	p.section(page, "1.", playedLine{"recount doctor", 1, "(?s)critical  clock.*off by 1h"}, playedLine{"grep clock", 0, "off by"})
	p.add(`ssh root@$HOST 'rm /var/lib/clock/node-2'`)
	p.section(page, "3.", playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"recount doctor", 0, "all is well"})
}

func (p *hostsPlay) damage() {
	const page = runbooksDir + "damage.md"
	p.add(`ssh root@$HOST 'systemctl stop recount-node; truncate -s -100 $(ls -S /var/lib/recount/events/*.sst | head -1)'`,
		`ssh root@$HOST 'systemctl start recount-node'`, until(secondGone))
	p.section(page, "1.", playedLine{"recount doctor", 1, "no answer"}, playedLine{"digest", 5, ""}, playedLine{"systemctl status", 3, "status=70"},
		playedLine{"journalctl", 0, "leave it stopped"}, playedLine{"recount-node doctor", 1, "(?s)critical  store.*events|critical  store"})
	p.section(page, "2.", playedLine{"recount-node repair", 0, "damaged log"}, playedLine{"curl", 0, "(?m)^ok$"})
	p.add(`ssh root@$HOST 'systemctl stop recount-node; rm -r /var/lib/recount/events.damaged-1; echo -n "the digests differ" > /var/lib/recount/quarantine; chown recount: /var/lib/recount/quarantine'`)
	p.section(page, "3.", playedLine{"cat /var/lib", 0, "the digests differ"}, playedLine{"curl", 0, "(?m)^ok$"})
	p.section(page, "4.", playedLine{"digest", 0, "3 endpoints agree"}, playedLine{"recount doctor", 0, "all is well"})
}

func (p *hostsPlay) upgrade() {
	const page = runbooksDir + "upgrade.md"
	p.section(page, "1.", playedLine{"recount doctor", 0, "all is well"}, playedLine{"digest", 0, "3 endpoints agree"})
	p.section(page, "2.", playedLine{"recount-node.new config check", 0, "(?m)^ok$"}, playedLine{"curl", 0, "(?m)^ok$"}, playedLine{"digest", 0, "3 endpoints agree"})
	p.section(page, "3.", playedLine{"curl", 0, "(?m)^ok$"})
	p.section(page, "4.", playedLine{"recount cluster version", 0, "the cluster is at version"}, playedLine{"recount cluster upgrade", 0, "version"})
	p.section(page, "5.", playedLine{"digest", 0, "3 endpoints agree"}, playedLine{"recount doctor", 0, "all is well"})
}
