package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
)

type prometheusQuery = variants.Dataquery

// boards are all dashboards.
var boards = []board{operator, ingest, recount, incident, node}

func main() {
	out := flag.String("out", "../../deploy/grafana", "directory of the dashboards")
	flag.Parse()
	if err := write(*out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, b := range boards {
		text, err := render(b)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, b.file+".json"), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
