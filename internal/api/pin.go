package api

import "context"

type pinKey struct{}

// pin makes everything that a read does with ctx come from one generation, also when another one is activated meanwhile.
func pin(ctx context.Context, generation uint32) context.Context {
	return context.WithValue(ctx, pinKey{}, generation)
}

// PinnedGeneration is the generation whose position WaitRead gave for this read, 0 when none was asked for.
func PinnedGeneration(ctx context.Context) uint32 {
	g, _ := ctx.Value(pinKey{}).(uint32)
	return g
}
