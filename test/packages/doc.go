// Package packages holds the units of systemd and the packages of Debian and RPM against what they promise. It has no code
// besides its tests.
package packages
