package wire

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/nano"
)

// declared lists the exported struct types of this package, by the source. CodeInfo is never sent.
func declared(t *testing.T) (names []string) {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for name, obj := range file.Scope.Objects {
			if spec, ok := obj.Decl.(*ast.TypeSpec); ok && ast.IsExported(name) && name != "CodeInfo" {
				if _, isStruct := spec.Type.(*ast.StructType); isStruct {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// shapes are all messages.
var shapes = []any{
	ActivateAnswer{}, ActivateRequest{}, ApplyAnswer{}, ApplyRequest{}, ApprovalAnswer{}, ApprovalRequest{},
	ApprovalsPage{}, AuditAnswer{}, AuditItem{}, AuditPage{}, BatchLine{}, CheckAnswer{}, ClusterAnswer{}, ClusterVersionAnswer{}, ClusterVersionRequest{}, CopiesPage{}, CopyAnswer{}, CopyDigest{}, CopyFile{}, CopyPosition{},
	CheckpointEntry{}, CheckpointPage{}, ConsistencyAnswer{}, InclusionAnswer{},
	DiffAnswer{}, DigestAnswer{}, DropAnswer{}, EventAnswer{}, FlipSide{}, FlipsPage{}, Flip{}, FreezeAnswer{},
	FreezeRequest{}, FreezesPage{}, GenerationAnswer{}, GenerationRequest{}, GenerationsPage{}, HistoryEntry{},
	IDsPage{}, InvitationAnswer{}, InvitationRequest{}, JoinMember{}, JoinToken{}, KeyAnswer{}, KeyRequest{}, KeysPage{}, KnownShardsAnswer{}, KnownShardsPage{},
	KnownShardsRequest{}, LeaderRequest{}, Leaf{}, LearnerProgress{}, Member{}, MemberAddressRequest{}, MemberAnswer{}, MemberRequest{}, NodeProgress{}, OperationItem{}, OperationsPage{}, PendingOperation{},
	Op{}, PCSAnswer{}, PoliciesPage{}, PolicyAnswer{}, PolicyInterval{}, PolicyRequest{}, Problem{},
	RevokeAnswer{}, RevokeRequest{}, RollbackRequest{}, ScheduleStep{}, ShardAnswer{}, ShardsPage{},
	PCSHistory{}, SubmissionHistory{}, GivenAnswer{}, StreamEnded{},
	SubmitAnswer{}, TokenAnswer{}, TokenRequest{}, TokenRevokeRequest{}, TokensPage{}, Trailer{},
	VersionAnswer{}, WhoamiAnswer{},
}

// fill sets every member to something that is not its zero value, no two numbers alike.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Interface().(type) {
	case json.RawMessage:
		v.SetBytes([]byte(`{"a":1}`))
		return
	case nano.Nano:
		v.SetInt(int64(nano.One)*int64(*n) + 1)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.String:
		v.SetString("text " + string('a'+rune(*n%26)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.SetMapIndex(key, value)
	case reflect.Interface:
		v.Set(reflect.ValueOf("anything"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a member of kind %s", v.Kind())
	}
}

// TestEveryShapeTravels: what one side writes the other side reads, member by member, for every message.
func TestEveryShapeTravels(t *testing.T) {
	var names []string
	for _, shape := range shapes {
		typ := reflect.TypeOf(shape)
		names = append(names, typ.Name())
		sent := reflect.New(typ)
		fill(t, sent.Elem(), new(int))
		text, err := json.Marshal(sent.Interface())
		if err != nil {
			t.Errorf("%s: %v", typ.Name(), err)
			continue
		}
		got := reflect.New(typ)
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(got.Interface()); err != nil {
			t.Errorf("%s: %v", typ.Name(), err)
			continue
		}
		again, err := json.Marshal(got.Interface())
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: sent %s\nread %s %v", typ.Name(), text, again, err)
		}
	}
	slices.Sort(names)
	if want := declared(t); !slices.Equal(names, want) {
		t.Errorf("the list has %v\nthe package has %v", names, want)
	}
}

// predecessor are the names that clients of the predecessor read, and those of records, which are not in snake case.
var predecessor = []string{"D_hat", "recomputed_D_hat", "N_j"}

// TestNamesOfMembers: every member has a name of its own in snake case. Names that differ in letter case only would
// be one for some decoders.
func TestNamesOfMembers(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, shape := range shapes {
		typ := reflect.TypeOf(shape)
		seen := map[string]bool{}
		for _, f := range reflect.VisibleFields(typ) {
			tag, tagged := f.Tag.Lookup("json")
			name, _, _ := strings.Cut(tag, ",")
			switch {
			case f.Anonymous:
				continue
			case !f.IsExported() || !tagged || name == "":
				t.Errorf("%s.%s has no name", typ.Name(), f.Name)
			case name == "-":
				continue
			case !snake.MatchString(name) && !slices.Contains(predecessor, name):
				t.Errorf("%s.%s is %q", typ.Name(), f.Name, name)
			case seen[strings.ToLower(name)] && len(f.Index) == 1:
				t.Errorf("%s has two members %q", typ.Name(), name)
			}
			seen[strings.ToLower(name)] = true
		}
	}
}

// TestNoShapeHasFloats: rates and spans may be fractions. Values that a signature or a policy depends on are
// decimals.
func TestNoShapeHasFloats(t *testing.T) {
	allowed := map[string]bool{"NodeProgress.Rate": true, "NodeProgress.ETA": true}
	for _, shape := range shapes {
		typ := reflect.TypeOf(shape)
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Type.Kind() == reflect.Float64 && !allowed[typ.Name()+"."+f.Name] {
				t.Errorf("%s.%s is a float", typ.Name(), f.Name)
			}
		}
	}
}

// TestUnknownMembersAreIgnored: a client of this release reads the answers of a later one.
func TestUnknownMembersAreIgnored(t *testing.T) {
	for _, shape := range shapes {
		v := reflect.New(reflect.TypeOf(shape))
		if err := json.Unmarshal([]byte(`{"of_a_later_release":{"a":[1]}}`), v.Interface()); err != nil {
			t.Errorf("%T: %v", shape, err)
		}
	}
}

// TestPosition: the digest of a reviewed diff begins with its last event.
func TestPosition(t *testing.T) {
	for diff, want := range map[string]uint64{
		"": 0, "0000000000000f": 0, "00000000000000ff" + strings.Repeat("ab", 32): 255, "00000000000000ff": 255,
		"ffffffffffffffff00": 1<<64 - 1, "not a digest at all": 0, "+000000000000001": 0,
	} {
		if got := (&PendingOperation{Diff: diff}).Position(); got != want {
			t.Errorf("%q: %d, want %d", diff, got, want)
		}
	}
}

// TestParseTime: RFC 3339 and nothing that package time reads beside it.
func TestParseTime(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := map[string]time.Time{
		"2026-01-02T03:04:05Z":           at,
		"2026-01-02T03:04:05+00:00":      at,
		"2026-01-02T03:04:05-00:00":      at,
		"2026-01-02T04:04:05+01:00":      at,
		"2026-01-01T19:34:05-07:30":      at,
		"2026-01-02T03:04:05.5Z":         at.Add(500 * time.Millisecond),
		"2026-01-02T03:04:05.000000001Z": at.Add(1),
	}
	for text, want := range good {
		if got, err := ParseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "now", "2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T3:04:05Z",
		"2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.0000000001Z", "2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05+0100", "2026-01-02T03:04:05z", "2026-01-02t03:04:05Z",
		"2026-02-30T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z", " 2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05Z "} {
		if got, err := ParseTime(text); err != ErrTime || !got.IsZero() {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text := range maps.Keys(good) {
		got, _ := ParseTime(text) // good
		if again, err := ParseTime(Time(got)); err != nil || !again.Equal(got) || len(Time(got)) != 30 {
			t.Errorf("%s becomes %s, %v", text, Time(got), err)
		}
	}
}

// TestRoles: the order of the roles is that of their rights, and no other word is a role.
func TestRoles(t *testing.T) {
	if got := Roles(); !slices.Equal(got, []Role{"metrics", "auditor", "responder", "operator"}) {
		t.Errorf("%v", got)
	}
	for _, role := range []Role{"", "root", "Operator", "operator ", "agent"} {
		if role.Valid() {
			t.Errorf("%q is a role", role)
		}
	}
}

// TestTokenDigest: the digest is the SHA-256 of the whole text, which stored tokens depend on.
func TestTokenDigest(t *testing.T) {
	if got := TokenDigest("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
	const text = "rct_auditor_aaaaaaaaaaaaaaaa_" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	if role, id, err := ParseToken(text + "_c3b3a4f1"); err == nil {
		t.Errorf("a wrong checksum: %s %s", role, id)
	}
	if role, id, err := ParseToken(text + "_" + checksum(text)); err != nil || role != RoleAuditor || id != "aaaaaaaaaaaaaaaa" {
		t.Errorf("%s %s %v", role, id, err)
	}
	if _, _, err := ParseToken(text + "_" + strings.ToUpper(checksum(text))); err == nil {
		t.Error("a checksum in upper case")
	}
	long := "rct_auditor_aaaaaaaaaaaaaaaa_" + strings.Repeat("a", 150)
	if _, _, err := ParseToken(long + "_" + checksum(long)); err == nil {
		t.Error("a token without end")
	}
}
