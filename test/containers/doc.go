// Package containers plays docs/deploy-containers.md. It builds the image, starts three nodes in containers by podman,
// fills the volume of one, and looks for writes outside of the volumes. It has no code besides its test, which runs as
// root when RECOUNT_IMAGE_TEST is set (make image-test).
package containers
