package api

import (
	"encoding/json"
	"testing"
)

// TestFillEmpty: no list and no map of a response is null, however deep, unless it is left out. What a pointer or an
// interface leaves open stays open.
func TestFillEmpty(t *testing.T) {
	type inner struct {
		List []string       `json:"list"`
		Map  map[string]int `json:"map"`
		Left []string       `json:"left,omitempty"`
	}
	type outer struct {
		inner                 // its members are those of outer
		Data   []byte         `json:"data"`
		Items  []inner        `json:"items"`
		Near   []*inner       `json:"near"`
		Far    *inner         `json:"far"`
		None   *inner         `json:"none"`
		Any    any            `json:"any"`
		Given  map[string]any `json:"given"`
		hidden []string
	}
	v := outer{Items: make([]inner, 1), Near: []*inner{{}, nil}, Far: &inner{List: []string{"x"}},
		Given: map[string]any{"a": nil}}
	fillEmpty(&v)
	got, err := json.Marshal(v)
	want := `{"list":[],"map":{},"data":"","items":[{"list":[],"map":{}}],"near":[{"list":[],"map":{}},null],` +
		`"far":{"list":["x"],"map":{}},"none":null,"any":null,"given":{"a":null}}`
	if err != nil || string(got) != want || v.hidden != nil {
		t.Errorf("%s, %v", got, err)
	}
}
