package api

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// fillEmpty replaces every nil list and map in the value that p points to by an empty one, so that JSON has []
// and {} where the contract has a list and an object, and never null. A member with omitempty may stay nil. p
// must own all that it points to.
func fillEmpty(p any) { fill(reflect.ValueOf(p)) }

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Struct:
		for _, m := range listMembersOf(v.Type()) {
			switch member := v.Field(m.index); {
			case m.optional && member.IsZero():
			case member.Kind() == reflect.Slice && member.IsNil():
				member.Set(reflect.MakeSlice(member.Type(), 0, 0))
			case member.Kind() == reflect.Map && member.IsNil():
				member.Set(reflect.MakeMap(member.Type()))
			default:
				fill(member)
			}
		}
	case reflect.Slice:
		if hasMembers(v.Type().Elem()) && hasLists(v.Type().Elem(), nil) {
			for i := range v.Len() {
				fill(v.Index(i))
			}
		}
	}
}

// hasMembers reports whether values of a type can have lists or maps in them.
func hasMembers(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer
}

// listMember is a field of a struct that is a list or a map, or has one in it.
type listMember struct {
	index    int
	optional bool // omitempty
}

var listMembers sync.Map // reflect.Type of a struct -> []listMember

// listMembersOf returns the fields of a struct that fill looks at. It looks for them once, because a page has a hundred
// values of one type and the search costs more than their JSON.
func listMembersOf(t reflect.Type) []listMember {
	if known, ok := listMembers.Load(t); ok {
		return known.([]listMember)
	}
	members := []listMember{}
	for i := range t.NumField() {
		field := t.Field(i)
		if (field.IsExported() || field.Anonymous) && hasLists(field.Type, nil) {
			optional := strings.Contains(field.Tag.Get("json"), ",omitempty")
			members = append(members, listMember{i, optional})
		}
	}
	listMembers.Store(t, members)
	return members
}

// hasLists reports whether a type is a list or a map or has one in it. outer are the structs that it is a part of.
func hasLists(t reflect.Type, outer []reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return true
	case reflect.Pointer:
		return hasLists(t.Elem(), outer)
	case reflect.Struct:
		if slices.Contains(outer, t) {
			return false
		}
		outer = append(slices.Clip(outer), t)
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && hasLists(f.Type, outer) {
				return true
			}
		}
	}
	return false
}
