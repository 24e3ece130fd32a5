package api

import (
	"strings"
	"testing"

	"cibridge/bridge"
)

// The credentials of a hook are shown to nobody, in whatever part of it they
// are, and do not follow it to another host.
func TestHookCredentialsStay(t *testing.T) {
	r := newRig(t, nil)
	create := func(url, headers string) answer {
		return r.admin("POST", "/pipelines/*/hooks/outgoing", `{"name":"x","target_url":"`+url+`","settings":{"request_headers":[`+headers+`]}}`)
	}
	a := create("https://example.com/h?page=1&api_key=hunter22&sig={{ run.id }}", `{"name":"X-Functions-Key","value":"hunter23hunter"},{"name":"X-Api-Token","value":"hunter24hunter{{ run.id }}"},`+
		`{"name":"Authorization","value":"Bearer {{ application.source_provider.access_token }}"},{"name":"Idempotency-Key-Of","value":"open"}`)
	if a.status != 201 || strings.Contains(a.body, "hunter") || !strings.Contains(a.body, `"target_url":"https://example.com/h?page=1&api_key=***&sig={{ run.id }}"`) ||
		!strings.Contains(a.body, `Bearer {{ application.source_provider.access_token }}`) || !strings.Contains(a.body, "open") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id := a.json(t)["id"].(string)
	put := func(fields string) answer {
		return r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"`+id+`","name":"x"`+fields+`}`)
	}
	// What was read can be sent back.
	put(`,"target_url":"https://example.com/h?page=1&api_key=***&sig={{ run.id }}"`).is(t, 204, "")
	if got := r.Snapshot().Hooks[0].TargetURL; !strings.Contains(got, "hunter22") {
		t.Errorf("the URL is now %s", got)
	}
	put(`,"target_url":"https://example.com/other?api_key=***"`).is(t, 422, `*a value in it is masked*`)
	for _, elsewhere := range []string{"https://evil.test/h?api_key=***", "https://evil.test/h", "https://example.com:8443/h", "https://example.com.evil.test/h", "{{ application.source_provider.base_url }}/h"} {
		if a := put(`,"target_url":"` + elsewhere + `"`); a.status != 422 || !strings.Contains(a.body, "X-Functions-Key again") || !strings.Contains(a.body, "X-Api-Token again") {
			t.Errorf("%s: %d %s", elsewhere, a.status, a.body)
		}
	}
	// A host that an application decides is not the hook's own.
	create("{{ application.source_provider.base_url }}/h", `{"name":"X-Api-Token","value":"hunter25hunter"}`).is(t, 422, `*"settings.request_headers.0.value":["X-Api-Token is a credential, and the host that it is for is not in target_url*`)
	create("{{ application.source_provider.base_url }}/h", `{"name":"PRIVATE-TOKEN","value":"{{ application.source_provider.access_token }}"}`).is(t, 201, "*")
}

// The URL of a delivery shows no credential either.
func TestDeliveryURLIsMasked(t *testing.T) {
	r := newRig(t, nil)
	r.letters["dlv_1"] = &DeliveryStatus{Delivery: bridge.Delivery{ID: "dlv_1", URL: "https://example.com/h?api_key=hunter22&page=2"}, State: bridge.DeliveryDead}
	for _, path := range []string{"/api/v1/deliveries/dlv_1", "/api/v1/deliveries"} {
		if a := r.admin("GET", path, ""); a.status != 200 || !strings.Contains(a.body, "https://example.com/h?api_key=***&page=2") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
