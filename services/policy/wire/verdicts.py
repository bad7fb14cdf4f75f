"""Verdicts, between policy's domain and its protos."""

from typing import Final

from provost.policy.v1 import policy_pb2
from services.policy.domain.decision import Verdict

VERDICTS: Final = {verdict: policy_pb2.Verdict.Value(f"VERDICT_{verdict}") for verdict in Verdict}
