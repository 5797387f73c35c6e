// Package imports holds the table of imports: which package may import which other one, and which library belongs to
// which package. It has no code besides its test.
package imports
