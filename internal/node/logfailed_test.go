package node

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
)

// TestLogThatCannotBeRead: before the process ends, the quarantine is on the disk, so that the next start
// serves nobody. A log that could not be written quarantines nobody.
func TestLogThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kept bool
	}{
		"unreadable": {fmt.Errorf("block 7: %w", log.ErrCorrupt), true},
		"full disk":  {log.ErrFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			code := 0
			n := &Node{cfg: Config{Dir: t.TempDir(), Exit: func(c int) {
				code = c
				runtime.Goexit()
			}}, log: slog.New(slog.DiscardHandler)}
			n.quarantine.dir, n.quarantine.log = n.cfg.Dir, n.log
			done := make(chan struct{})
			go func() {
				defer close(done)
				n.logFailed(c.err)
			}()
			<-done
			if code != ExitStore {
				t.Errorf("exit code %d", code)
			}
			_, err := os.Stat(filepath.Join(n.cfg.Dir, quarantineFile))
			if (err == nil) != c.kept {
				t.Errorf("the file of the quarantine: %v", err)
			}
			again := quarantine{dir: n.cfg.Dir, log: n.log}
			if err := again.recall(); err != nil || again.entered() != c.kept {
				t.Errorf("at the next start the quarantine is %v: %v", again.check(), err)
			}
		})
	}
}

// TestFullDiskUnderAStore: a disk that does not take a folded state ends the process and leaves no mark and no
// quarantine.
func TestFullDiskUnderAStore(t *testing.T) {
	for name, told := range map[string]func(*Node) func(error){
		"derived":                 func(n *Node) func(error) { return n.derivedDamaged },
		"generations and history": func(n *Node) func(error) { return host{unwritten: n.endUnwritten}.Unwritten },
	} {
		code := 0
		n := &Node{cfg: Config{Dir: t.TempDir(), Exit: func(c int) {
			code = c
			runtime.Goexit()
		}}, log: slog.New(slog.DiscardHandler)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			told(n)(fmt.Errorf("%w: no space left on device", fsm.ErrUnwritten))
		}()
		<-done
		left, err := os.ReadDir(n.cfg.Dir)
		if err != nil || len(left) != 0 || code != ExitStore {
			t.Errorf("%s: exit code %d, left %v, %v", name, code, left, err)
		}
	}
}
