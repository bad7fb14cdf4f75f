package main

import (
	"context"
	"encoding/json"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ledger "provost/gen/ledger/v1"
	orchestrator "provost/gen/orchestrator/v1"
	policy "provost/gen/policy/v1"
	state "provost/gen/state/v1"
	"provost/sdk"
)

var calls = map[string]call{
	"status": func(_ *runner, ctx context.Context, c *provost.Client, _ values) (values, error) {
		return status(ctx, c)
	},
	"unreachable": func(r *runner, ctx context.Context, _ *provost.Client, _ values) (values, error) {
		nowhere, err := provost.New(provost.Options{Address: r.given.ClosedAddress})
		if err != nil {
			return nil, err
		}
		defer nowhere.Close()
		return status(ctx, nowhere)
	},
	"process_log": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		run, err := processed(ctx, c, more)
		if err != nil {
			return nil, err
		}
		plan, verdicts := []string{}, []string{}
		for _, each := range run.Plan {
			plan = append(plan, each.Action.Name)
		}
		for _, each := range run.Decisions {
			verdicts = append(verdicts, word(each.Verdict))
		}
		answer := ended(run)
		for key, value := range (values{
			"run_id": run.RunId, "report_sha256": run.ReportSha256, "mode": word(run.Mode), "plan": plan, "verdicts": verdicts,
			"cause": run.Incident.GetCause(), "severity": run.Incident.GetSeverity(), "requested_by": run.RequestedBy,
		}) {
			answer[key] = value
		}
		return answer, nil
	},
	"artifact": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		found, err := c.State.GetArtifact(ctx, &state.GetArtifactRequest{Sha256: more["sha256"].(string)})
		if err != nil {
			return nil, err
		}
		var report struct {
			Run       struct{ Run_id string }
			Decisions []interface{}
		}
		if err := json.Unmarshal(found.Content, &report); err != nil {
			return nil, err
		}
		return values{
			"name": found.Artifact.Name, "media_type": found.Artifact.MediaType,
			"of_the_run": report.Run.Run_id == more["run_id"], "actions": len(report.Decisions),
		}, nil
	},
	"authorize": func(r *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		answer, err := c.Policy.Authorize(ctx, &policy.AuthorizeRequest{
			RequestId:    more["request_id"].(string),
			SessionToken: r.known["session_token"],
			Context: &policy.RunContext{
				RunId: r.known["agent_run"], TaskId: r.known["task"], AgentId: r.known["agent"], Mode: mode(more["mode"]),
			},
			Action: &policy.Action{
				ActionId: "a1", Name: more["action"].(string), Target: "localhost", Environment: "sandbox",
			},
		})
		if err != nil {
			return nil, err
		}
		made := answer.Decision
		return values{
			"verdict": word(made.Verdict), "reason": made.Reason, "rule": made.Rule, "tier": word(made.Tier),
			"obligations": append([]string{}, made.Obligations...), "permit": made.Permit != "",
		}, nil
	},
	"start_run": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		begun, err := c.Orchestrator.StartRun(ctx, &orchestrator.StartRunRequest{
			RequestId: more["request_id"].(string), AgentId: more["agent"].(string), TaskId: more["task"].(string),
			Objective: more["objective"].(string), Mode: mode(more["mode"]),
		})
		if err != nil {
			return nil, err
		}
		run, err := rested(ctx, c, begun.Run.RunId)
		if err != nil {
			return nil, err
		}
		return values{
			"run_id": run.RunId, "state": word(run.State), "phase": word(run.Phase), "waits_for": len(run.WaitingFor),
		}, nil
	},
	"approvals": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		found, err := c.Policy.ListApprovals(ctx, &policy.ListApprovalsRequest{RunId: more["run_id"].(string)})
		if err != nil {
			return nil, err
		}
		all := []values{}
		for _, each := range found.Approvals {
			all = append(all, values{"action": each.Action.Name, "state": word(each.State), "agent": each.AgentId})
		}
		return values{"approval_id": found.Approvals[0].ApprovalId, "approvals": all}, nil
	},
	"answer": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		comment, _ := more["comment"].(string)
		answered, err := c.Policy.AnswerApproval(ctx, &policy.AnswerApprovalRequest{
			ApprovalId: more["approval_id"].(string), Approve: more["approve"].(bool), Comment: comment,
		})
		if err != nil {
			return nil, err
		}
		stands := word(answered.Approval.State)
		if stands == "USED" {
			stands = "APPROVED"
		}
		return values{"state": stands}, nil
	},
	"follow": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		for {
			run, err := rested(ctx, c, more["run_id"].(string))
			if err != nil {
				return nil, err
			}
			if run.State != orchestrator.RunState_RUN_STATE_WAITING { // else the answer is on its way to it
				return ended(run), nil
			}
		}
	},
	"run": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		request := &orchestrator.GetRunRequest{}
		if more["unknown_field"] == true {
			if err := proto.Unmarshal([]byte{0xc0, 0x3e, 0x01}, request); err != nil { // field 1000, a number
				return nil, err
			}
		}
		request.RunId = more["run_id"].(string)
		found, err := c.Orchestrator.GetRun(ctx, request)
		if err != nil {
			return nil, err
		}
		return ended(found.Run), nil
	},
	"late_head": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(more["timeout_ms"].(float64))*time.Millisecond)
		defer cancel()
		sequence := uint64(more["at_least_sequence"].(float64))
		head, err := c.Ledger.GetTreeHead(ctx, &ledger.GetTreeHeadRequest{AtLeastSequence: sequence})
		if err != nil {
			return nil, err
		}
		return values{"size": head.TreeHead.TreeSize}, nil
	},
	"watch": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		filter := &ledger.EventFilter{Context: "orchestrator", Aggregate: "run"}
		cursor := ""
		err := c.WatchEvents(ctx, filter, "", false, func(answer *ledger.WatchEventsResponse) bool {
			cursor = answer.Cursor
			return false
		})
		if err != nil {
			return nil, err
		}
		more["mode"], more["strategy"] = "safe", "classic"
		run, err := processed(ctx, c, more)
		if err != nil {
			return nil, err
		}
		first, err := told(ctx, c, filter, cursor, run.RunId)
		if err != nil {
			return nil, err
		}
		second, err := told(ctx, c, filter, cursor, run.RunId)
		if err != nil {
			return nil, err
		}
		types, inOrder, same := []string{}, true, len(first) == len(second)
		for n, each := range first {
			types = append(types, each.EventType)
			inOrder = inOrder && (n == 0 || each.Sequence > first[n-1].Sequence)
			same = same && each.EventId == second[n].EventId
		}
		return values{
			"event_id": first[len(first)-1].EventId, "types": types, "in_order": inOrder, "again_is_the_same": same,
		}, nil
	},
	"event": func(_ *runner, ctx context.Context, c *provost.Client, more values) (values, error) {
		found, err := c.Ledger.GetEvent(ctx, &ledger.GetEventRequest{EventId: more["event_id"].(string)})
		if err != nil {
			return nil, err
		}
		return values{"type": found.Event.EventType}, nil
	},
	"prove":          prove,
	"prove_tampered": proveTampered,
	"vectors": func(r *runner, _ context.Context, _ *provost.Client, _ values) (values, error) {
		return vectors(r.given.Vectors)
	},
}

func status(ctx context.Context, c *provost.Client) (values, error) {
	found, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, each := range found.Components {
		names = append(names, each.Name)
	}
	sort.Strings(names)
	return values{"healthy": found.Healthy, "components": names}, nil
}

func processed(ctx context.Context, c *provost.Client, more values) (*orchestrator.Run, error) {
	answer, err := c.Orchestrator.ProcessLog(ctx, &orchestrator.ProcessLogRequest{
		RequestId: more["request_id"].(string), Log: []byte(more["log"].(string)), Mode: mode(more["mode"]),
		Strategy: orchestrator.Strategy(named(orchestrator.Strategy_STRATEGY_UNSPECIFIED, more["strategy"])), IncludeTrace: true,
	})
	return answer.GetRun(), err
}

func rested(ctx context.Context, c *provost.Client, runID string) (*orchestrator.Run, error) {
	for {
		answer, err := c.Orchestrator.GetRun(ctx, &orchestrator.GetRunRequest{RunId: runID, WaitSeconds: 20})
		if err != nil || answer.Run.State != orchestrator.RunState_RUN_STATE_RUNNING {
			return answer.GetRun(), err
		}
	}
}

func told(
	ctx context.Context, c *provost.Client, filter *ledger.EventFilter, cursor, runID string,
) (found []*ledger.LedgerEvent, err error) {
	err = c.WatchEvents(ctx, filter, cursor, false, func(answer *ledger.WatchEventsResponse) bool {
		for _, each := range answer.Events {
			if strings.Contains(each.Subject, runID) {
				found = append(found, each)
			}
		}
		return len(found) == 0 || found[len(found)-1].EventType != "RunEnded"
	})
	return found, err
}

func ended(run *orchestrator.Run) values {
	effects := []string{}
	for _, each := range run.Effects {
		effects = append(effects, word(each.State))
	}
	return values{"state": word(run.State), "phase": word(run.Phase), "effects": effects}
}

var enumPrefix = regexp.MustCompile(`UNSPECIFIED$`)

// word is the name of an enum's value without its prefix, "" when it is unspecified.
func word(value protoreflect.Enum) string {
	names := value.Descriptor().Values()
	prefix := enumPrefix.ReplaceAllString(string(names.ByNumber(0).Name()), "")
	known := names.ByNumber(value.Number())
	if known == nil || value.Number() == 0 {
		return ""
	}
	return strings.TrimPrefix(string(known.Name()), prefix)
}

func mode(text interface{}) policy.Mode {
	return policy.Mode(named(policy.Mode_MODE_UNSPECIFIED, text))
}

// named is the number of an enum's value by its name without prefix, or by its number.
func named(of protoreflect.Enum, text interface{}) protoreflect.EnumNumber {
	if number, err := strconv.Atoi(text.(string)); err == nil {
		return protoreflect.EnumNumber(number)
	}
	names := of.Descriptor().Values()
	prefix := enumPrefix.ReplaceAllString(string(names.ByNumber(0).Name()), "")
	known := names.ByName(protoreflect.Name(prefix + strings.ToUpper(text.(string))))
	if known == nil {
		return 0
	}
	return known.Number()
}
