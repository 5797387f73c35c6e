// Package imports holds the table of rooms: which package may import which other one, and which library belongs to which
// room. It has no code besides its test.
package imports
