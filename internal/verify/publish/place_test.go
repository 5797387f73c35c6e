package publish

import (
	"strings"
	"testing"
)

// TestPlaces: a problem of a condition is placed in the document, however the condition is written there.
func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"plain":               {"rules:\n- when: degraded && oops\n", "line 2, column 21: "},
		"single quotes":       {"rules:\n- when: 'degraded && oops'\n", "line 2, column 22: "},
		"doubled quote":       {"rules:\n- when: 'shard_id == \"it''s\" && oops'\n", "line 2, column 33: "},
		"double quotes":       {"rules:\n- when: \"degraded && oops\"\n", "line 2, column 22: "},
		"escapes":             {"rules:\n- when: \"shard_id == \\\"\\u00e9\\x41\\U0001f600\\\" && oops\"\n", "line 2, column 50: "},
		"wide characters":     {"rules:\n- {reason: x, when: 'shard_id == \"é€\" && oops'}\n", "line 2, column 42: "},
		"in a flow mapping":   {"rules: [{then: refuse, when: 'oops'}]\n", "line 1, column 31: "},
		"literal block":       {"rules:\n- when: |\n    degraded &&\n      oops\n", "line 4, column 7: "},
		"literal, CR LF":      {"rules:\r\n- when: |\r\n    degraded &&\r\n      oops\r\n", "line 4, column 7: "},
		"folded, one line":    {"rules:\n- when: >-\n    degraded && oops\n", "line 3, column 17: "},
		"folded, two lines":   {"rules:\n- when: >-\n    degraded &&\n    oops\n", "line 2, column 9: rules[0].when: line 1, column 13 of the expression: "},
		"plain over lines":    {"rules:\n- when: degraded &&\n    oops\n", "line 2, column 9: rules[0].when: line 1, column 13 of the expression: "},
		"quoted over lines":   {"rules:\n- when: 'degraded &&\n    oops'\n", "line 2, column 9: rules[0].when: line 1, column 13 of the expression: "},
		"the end of the text": {"rules:\n- when: 'degraded &&'\n", "line 2, column 21: "},
	} {
		_, err := Parse([]byte(c.doc))
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+c.want) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}
