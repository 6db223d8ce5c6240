package admin

import (
	_ "embed"
	"net/http"
)

// description is of everything below /api/v1, by OpenAPI 3.1. A test compares it with the
// routes and with what they answer.
//
//go:embed openapi.json
var description []byte

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(description)
}
