"""What a template's role may, what a client asks for, and IAM between the two."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

Need = tuple[str, str]
"""An action, and what it is asked of: a name that the template has for it."""


def granted(template: Mapping[str, Any], role: str, *, where: Collection[str] = ()) -> set[Need]:
    """
    What a role may.

    Args:
        where: Conditions of the template that hold; no others do.
    """
    found = set()
    for policy in template["Resources"][role]["Properties"]["Policies"]:
        for statement in _chosen(policy["PolicyDocument"]["Statement"], where):
            if statement["Effect"] == "Allow":
                found |= {(action, of) for action in _list(statement["Action"]) for of in _named(statement)}
    return found


def covers(grants: Collection[Need], need: Need) -> bool:
    """Whether one of *grants* lets through what is asked for."""
    action, of = need
    return any(of == on and fnmatch.fnmatchcase(action, pattern) for pattern, on in grants)


def _chosen(statements: Any, where: Collection[str]) -> Iterator[dict[str, Any]]:
    for one in statements:
        if "Fn::If" in one:
            condition, then, otherwise = one["Fn::If"]
            yield from _chosen([then if condition in where else otherwise], where)
        elif "Ref" not in one:  # AWS::NoValue
            yield one


def _named(statement: Mapping[str, Any]) -> Iterator[str]:
    """The statement's resources, by parameter or logical id; by its own name where that is put together."""
    keys = statement.get("Condition", {}).get("ForAllValues:StringEquals", {}).get("dynamodb:LeadingKeys")
    for one in _list(statement["Resource"]):
        name = statement["Sid"]
        if isinstance(one, dict) and "Ref" in one:
            name = one["Ref"]
        elif isinstance(one, dict) and "Fn::GetAtt" in one:
            name = one["Fn::GetAtt"][0]
        for key in [""] if keys is None else keys:
            yield name if keys is None else f"{name}/{key['Fn::Sub'] if isinstance(key, dict) else key}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Iam:
    """
    Stands before each request of the clients it is given: notes what it needs, and may refuse one need.

    Args:
        named: Says what the template calls a table, a queue or a stream; of the state table also the
            partition key that is asked for.
    """

    def __init__(self, named: Callable[[str, str], str], without: Need | None = None) -> None:
        self.asked: set[Need] = set()
        self._named, self._without = named, without

    def over(self, client: Any) -> Any:
        """*client*, whose requests are asked for as they go out."""
        client.meta.events.register_last("before-call", self._before)
        return client

    def need(self, action: str, of: str, key: str = "") -> None:
        """Raises what AWS answers where this is what is refused."""
        wanted = (action, self._named(of, key))
        self.asked.add(wanted)
        if wanted == self._without:
            said = f"User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: {action}"
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, action)

    def _before(self, model: Any, params: Mapping[str, Any], **_: Any) -> None:
        body = json.loads(params["body"])
        if model.service_model.service_name == "sqs":
            # The batch calls have no actions of their own:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
            self.need(f"sqs:{model.name.removesuffix('Batch')}", body["QueueUrl"].rpartition("/")[2])
            return
        for action, table, key in _of_database(model.name, body):
            self.need(f"dynamodb:{action}", table, key)


def _of_database(operation: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """
    Action, table and partition key of what a request to DynamoDB needs.

    A transaction needs the actions it is made of:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    match operation:
        case "TransactWriteItems":
            for one in body["TransactItems"]:
                for kind, said in one.items():
                    yield f"{kind}Item", said["TableName"], ""
        case "BatchGetItem":
            for table in body["RequestItems"]:
                yield operation, table, ""
        case _:
            key = (
                body.get("Key")
                or body.get("Item")
                or {"pk": body.get("ExpressionAttributeValues", {}).get(":pk")}
            )
            yield operation, body["TableName"], (key.get("pk") or {}).get("S", "")


class Streams:
    """A stream's client as a role's holder has it."""

    def __init__(self, iam: Iam, client: Any) -> None:
        self._iam, self._client = iam, client

    def __getattr__(self, name: str) -> Any:
        action = "".join(word.title() for word in name.split("_"))

        def ask(**arguments: Any) -> Any:
            self._iam.need(f"dynamodb:{action}", "stream")
            return getattr(self._client, name)(**arguments)

        return ask
