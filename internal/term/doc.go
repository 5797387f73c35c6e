// Package term prints for people. It finds out how wide a terminal is and whether it shows colours, and it lays
// out tables that fit into a line.
package term
