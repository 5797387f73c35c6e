package nodetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// rowsOf is every row of the folded state of node i, by store and key: the digest of its value.
func (c *Cluster) rowsOf(i int) (map[string][32]byte, error) {
	n := c.Node(i)
	if n == nil {
		return nil, fmt.Errorf("node %d does not run", i)
	}
	out := map[string][32]byte{}
	err := n.EachRow(func(store string, k, v []byte) { out[store+" "+string(k)] = sha256.Sum256(v) })
	return out, err
}

// CheckRows fails the test unless all nodes come to hold the same rows: control state, every generation with
// its ids, shards, epochs and indexes, and history. Digests and lists show a part of it only.
func (c *Cluster) CheckRows() {
	c.t.Helper()
	c.Await("equal rows on all nodes", func() error {
		want, err := c.rowsOf(0)
		if err != nil {
			return err
		}
		for i := 1; i < len(c.members); i++ {
			got, err := c.rowsOf(i)
			if err != nil {
				return err
			}
			if diff := differing(want, got); len(diff) > 0 {
				return fmt.Errorf("nodes 0 and %d have %d and %d rows, %d differ, the first: %q", i, len(want),
					len(got), len(diff), diff[0])
			}
		}
		return nil
	})
}

// RowsThatDiffer waits until two nodes have folded equally far and lists the rows in which they differ, by
// store and key.
func (c *Cluster) RowsThatDiffer(i, j int) (out []string) {
	c.t.Helper()
	c.Await("equal positions", func() error {
		a, err := c.rowsOf(i)
		must(c.t, err)
		b, err := c.rowsOf(j)
		must(c.t, err)
		for _, position := range []string{"derived p", "generations/1 p"} {
			if a[position] != b[position] {
				return fmt.Errorf("%s differs", position)
			}
		}
		out = differing(a, b)
		return nil
	})
	return out
}

// differing lists the rows that one of two nodes lacks, or holds with another value.
func differing(a, b map[string][32]byte) (out []string) {
	if maps.Equal(a, b) {
		return nil
	}
	for k, x := range a {
		if y, ok := b[k]; !ok || !bytes.Equal(x[:], y[:]) {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
