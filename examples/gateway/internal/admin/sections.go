package admin

import (
	"encoding"
	"encoding/json"
	"net/http"
	"reflect"
	"time"
)

// Section is what another part of the gateway says of its state, such as its pools or the
// health of its RADIUS servers, for operators and for the page. Snapshot returns structs,
// lists and maps of them, promptly and of bounded size; it is safe for concurrent use. They
// are encoded with names as in Stats, and durations in seconds.
type Section struct {
	Name     string // lower case, a word
	Snapshot func() any
}

func (s *Server) sections(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	answer := make(map[string]any, len(s.gateway.Sections))
	for _, one := range s.gateway.Sections {
		answer[one.Name] = encodable(reflect.ValueOf(one.Snapshot()))
	}
	writeJSON(w, answer)
	return nil
}

func (s *Server) section(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	name := r.PathValue("name")
	for _, one := range s.gateway.Sections {
		if one.Name == name {
			writeJSON(w, encodable(reflect.ValueOf(one.Snapshot())))
			return nil
		}
	}
	return problem(http.StatusNotFound, "there is no section %q", name)
}

// encodable is a value as JSON is to have it: structs are Figures.
func encodable(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch one := v.Interface().(type) {
	case time.Duration:
		return one.Seconds()
	case json.Marshaler, encoding.TextMarshaler:
		return one
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return encodable(v.Elem())
	case reflect.Struct:
		f := make(Figures)
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				f[snakeCase(field.Name)] = encodable(v.Field(i))
			}
		}
		return f
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = encodable(v.Index(i))
		}
		return list
	}
	return v.Interface()
}
