package backup

import (
	"context"
	"errors"
	"fmt"
)

// Pruned is the result of Prune.
type Pruned struct {
	Kept    []string `json:"kept"`    // backups, oldest first
	Removed []string `json:"removed"` // likewise
	Files   int      `json:"files"`   // removed
	Bytes   int64    `json:"bytes"`   // of these
}

// Prune removes all backups but the newest keep ones, then the files that no kept backup needs. It removes nothing if a
// manifest cannot be read, because that one might need any file, or if there is none. With dry it only tells what it
// would do.
func Prune(ctx context.Context, t Target, keep int, dry bool) (p Pruned, err error) {
	if keep < 1 {
		return p, fmt.Errorf("keep at least one backup, not %d", keep)
	}
	unlock, err := t.Lock(ctx)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	all, err := List(ctx, t, nil)
	if err != nil {
		return p, fmt.Errorf("nothing was removed: %w", err)
	}
	if len(all) == 0 {
		return p, nil // manifests may be on a disk that is not mounted
	}
	old := all[:max(len(all)-keep, 0)]
	needed := map[string]bool{}
	for _, m := range all[len(old):] {
		p.Kept = append(p.Kept, m.ID)
		for _, f := range m.Files {
			needed[fileName(f.SHA256)] = true
		}
	}
	files, err := t.List(ctx, "files/")
	if err != nil {
		return p, err
	}
	for _, m := range old { // first, so that no manifest is left whose files are gone
		p.Removed = append(p.Removed, m.ID)
		if !dry {
			if err := t.Remove(ctx, manifestName(m.ID)); err != nil {
				return p, err
			}
		}
	}
	for _, name := range files {
		if needed[name] {
			continue
		}
		size, err := t.Size(ctx, name)
		if err == nil && !dry {
			err = t.Remove(ctx, name)
		}
		if err != nil {
			return p, err
		}
		p.Files, p.Bytes = p.Files+1, p.Bytes+size
	}
	return p, nil
}
