"""Which of AWS's refusals may be tried again."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime.aws import AwsRefused, AwsUnavailable, aws_errors


def _refused(code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "PublishBatch")


@pytest.mark.parametrize("code", ["KMSThrottling", "KmsThrottled", "ThrottlingException"])
def test_what_throttles_says_come_again_also_with_a_status_of_400(code: str) -> None:
    with pytest.raises(AwsUnavailable), aws_errors():
        raise _refused(code)


def test_what_is_refused_for_good_is_told_with_its_code() -> None:
    with pytest.raises(AwsRefused, match="KMSDisabled"), aws_errors():
        raise _refused("KMSDisabled")
