package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Git runs git in root and returns what it prints, without spaces around it.
func Git(root string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build compiles a command of the tree at root into the file out.
func Build(root, out, what string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, what)...)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", what, err, text)
	}
	return nil
}

// BuildCommit compiles a command of a commit into the file out. The tree of the commit lies beside out meanwhile.
func BuildCommit(root, commit, out, what string, flags ...string) error {
	tree, err := os.MkdirTemp(filepath.Dir(out), "tree-")
	if err != nil {
		return err
	}
	tar := filepath.Join(tree, "tree.tar")
	if _, err = Git(root, "archive", "-o", tar, commit); err == nil {
		var text []byte
		if text, err = exec.Command("tar", "-x", "-C", tree, "-f", tar).CombinedOutput(); err != nil {
			err = fmt.Errorf("unpack %s: %w: %s", commit, err, text)
		}
	}
	if err == nil {
		err = Build(tree, out, what, flags...)
	}
	return errors.Join(err, os.RemoveAll(tree))
}
