package release

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestPushImages: the images of both architectures arrive under one name, and an engine can tell them apart.
func TestPushImages(t *testing.T) {
	if os.Getenv("RECOUNT_RELEASE_TEST") == "" || !(place{}).images() {
		t.Skip("needs root, buildah and podman: run it by make release-test")
	}
	dir := t.TempDir()
	const image = `for arch in amd64 arm64; do
		id=$(buildah from --arch $arch scratch)
		buildah config --arch $arch $id
		buildah commit --quiet --rm --format docker $id docker-archive:recount-v0.1.0-$arch.tar:localhost/of-a-test:$arch
	done`
	env := "STORAGE_DRIVER=vfs"
	if out, err := sh(dir, image, env); err != nil {
		t.Fatal(out)
	}
	if out, err := sh(dir, script(t, "push-images.sh")+" . v0.1.0 dir:registry", env); err != nil {
		t.Fatal(out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "registry:v0.1.0", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Manifests []struct {
			Digest   string
			Platform struct{ Architecture string }
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, m := range list.Manifests {
		digests[m.Platform.Architecture] = m.Digest
	}
	if len(digests) != 2 || digests["amd64"] == "" || digests["arm64"] == "" || digests["amd64"] == digests["arm64"] {
		t.Errorf("%v in %s", digests, text)
	}
}
