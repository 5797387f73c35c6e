// Command steady copies an archive of an image and leaves out what differs from build to build: buildah names the
// container that it worked in, and its host, in the configuration of an image of docker's format. The format of OCI has no
// such names, but no health check either.
//
//	steady FROM.tar TO.tar NAME
//
// prints the id of the image, which is the digest of its configuration. The new archive has three files: the configuration,
// the only layer as it is, and manifest.json, which names both and the image.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: steady FROM.tar TO.tar NAME")
		os.Exit(2)
	}
	id, err := rewrite(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
		os.Exit(1)
	}
	fmt.Println(id)
}

// entry is manifest.json of an archive, which lists one image.
type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// rewrite writes the image of one archive into another one.
func rewrite(from, to, name string) (id string, err error) {
	var manifest []entry
	if err := decode(from, "manifest.json", &manifest); err != nil {
		return "", err
	}
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 {
		return "", errors.New("the archive must have one image with one layer; build it with buildah --layers=false")
	}
	config, err := steadyConfig(from, manifest[0].Config)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(config)
	id = hex.EncodeToString(sum[:])
	layer := manifest[0].Layers[0]
	list, err := json.Marshal([]entry{{Config: id + ".json", RepoTags: []string{name}, Layers: []string{layer}}})
	if err != nil {
		return "", err
	}
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	w := tar.NewWriter(out)
	err = errors.Join(
		add(w, id+".json", int64(len(config)), bytes.NewReader(config)),
		find(from, layer, func(size int64, r io.Reader) error { return add(w, layer, size, r) }),
		add(w, "manifest.json", int64(len(list)), bytes.NewReader(list)),
		w.Close(), out.Close())
	return id, err
}

// steadyConfig is the configuration without the container and the host of the build.
func steadyConfig(archive, name string) ([]byte, error) {
	var config map[string]any
	if err := decode(archive, name, &config); err != nil {
		return nil, err
	}
	delete(config, "container")
	delete(config, "container_config")
	inner, ok := config["config"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no config", name)
	}
	delete(inner, "Hostname")
	return json.Marshal(config)
}

// add writes one file, with the same header at any time and for any user.
func add(w *tar.Writer, name string, size int64, r io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := io.Copy(w, r)
	return err
}

// decode reads a JSON file of an archive.
func decode(archive, name string, into any) error {
	return find(archive, name, func(_ int64, r io.Reader) error { return json.NewDecoder(r).Decode(into) })
}

// find calls f with a file of an archive.
func find(archive, name string, f func(size int64, r io.Reader) error) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s has no %s", archive, name)
		case err != nil:
			return err
		case h.Name == name && h.Typeflag == tar.TypeReg:
			return f(h.Size, r)
		}
	}
}
