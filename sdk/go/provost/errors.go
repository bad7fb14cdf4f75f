package provost

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind is what a reason amounts to. The exceptions of the Python client have the same names.
type Kind string

// The kinds there are.
const (
	InvalidRequest   Kind = "InvalidRequest"   // the request cannot be understood
	NotAuthenticated Kind = "NotAuthenticated" // no key, or an unknown one
	NotAllowed       Kind = "NotAllowed"       // the key's role may not
	NotFound         Kind = "NotFound"         // there is no such thing
	InConflict       Kind = "InConflict"       // taken, or somebody was quicker
	NotNow           Kind = "NotNow"           // not in this state
	LimitReached     Kind = "LimitReached"     // rate, size or budget
	Unreachable      Kind = "Unreachable"      // no answer; trying again may help
	Cancelled        Kind = "Cancelled"        // the caller's own context
	Unexpected       Kind = "Unexpected"       // a bug at one end
)

// Error is every failure of a call: Reason is for programs, Text for people, Facts say more.
type Error struct {
	Kind   Kind
	Reason string
	Text   string
	Facts  map[string]string
	status *status.Status
}

func (e *Error) Error() string { return e.Text + " (" + e.Reason + ")" }

// GRPCStatus is the status the call ended with.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// Retryable says whether the same request, with the same request id, may be answered a little later.
func (e *Error) Retryable() bool {
	return e.Kind == Unreachable || e.Reason == "APPEND_CONFLICT" || e.Reason == "RATE_LIMITED"
}

var kinds = map[codes.Code]struct {
	kind   Kind
	reason string
}{
	codes.InvalidArgument:    {InvalidRequest, "MALFORMED_MESSAGE"},
	codes.Unauthenticated:    {NotAuthenticated, "KEY_UNKNOWN"},
	codes.PermissionDenied:   {NotAllowed, "ROLE_MISSING"},
	codes.NotFound:           {NotFound, "NOT_FOUND"},
	codes.AlreadyExists:      {InConflict, "ALREADY_EXISTS"},
	codes.Aborted:            {InConflict, "APPEND_CONFLICT"},
	codes.FailedPrecondition: {NotNow, "FAILED_PRECONDITION"},
	codes.ResourceExhausted:  {LimitReached, "MESSAGE_TOO_LARGE"},
	codes.Unavailable:        {Unreachable, "GATEWAY_UNREACHABLE"},
	codes.DeadlineExceeded:   {Unreachable, "DEADLINE_EXCEEDED"},
	codes.Canceled:           {Cancelled, "CANCELLED"},
}

// errorOf is the error that a failed call amounts to: the reason of google.rpc.ErrorInfo, domain `provost`.
func errorOf(err error) *Error {
	if known, ok := err.(*Error); ok {
		return known
	}
	failed := status.Convert(err)
	made := &Error{Kind: Unexpected, Reason: "INTERNAL", Text: failed.Message(), status: failed}
	if known, ok := kinds[failed.Code()]; ok {
		made.Kind, made.Reason = known.kind, known.reason
	}
	for _, detail := range failed.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "provost" {
			made.Reason, made.Facts = info.Reason, info.Metadata
		}
	}
	if _, why, untrusted := strings.Cut(made.Text, "x509: "); untrusted && made.Reason == "GATEWAY_UNREACHABLE" {
		made.Text = "the gateway is not trusted (" + strings.TrimSuffix(why, `"`) + "): is CAFile the authority that issued its certificate?"
	}
	return made
}
