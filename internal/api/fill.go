package api

import (
	"reflect"
	"strings"
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
		for field, member := range v.Fields() {
			optional := strings.Contains(field.Tag.Get("json"), ",omitempty")
			switch {
			case !field.IsExported() && !field.Anonymous || optional && member.IsZero():
			case member.Kind() == reflect.Slice && member.IsNil():
				member.Set(reflect.MakeSlice(member.Type(), 0, 0))
			case member.Kind() == reflect.Map && member.IsNil():
				member.Set(reflect.MakeMap(member.Type()))
			default:
				fill(member)
			}
		}
	case reflect.Slice:
		if hasMembers(v.Type().Elem()) {
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
