package provost

import (
	"testing"

	policy "provost/gen/policy/v1"
)

func TestOneRequestIsGoodForTwoCalls(t *testing.T) {
	request := &policy.RevokeAgentRequest{AgentId: "sre-1"}
	once := identified(request).(*policy.RevokeAgentRequest)
	again := identified(request).(*policy.RevokeAgentRequest)
	if request.RequestId != "" || once.RequestId == "" || once.RequestId == again.RequestId || once.AgentId != "sre-1" {
		t.Errorf("%v was sent as %v and as %v", request, once, again)
	}
	request.RequestId = "mine"
	if identified(request).(*policy.RevokeAgentRequest) != request {
		t.Error("an id of the caller's own was not kept")
	}
}
