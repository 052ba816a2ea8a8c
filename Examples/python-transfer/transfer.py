"""The money transfer in Python: the same steps as the workflow in Swift (Sources/Bank), with Temporal's own SDK."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from temporalio import activity, workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

TASK_QUEUE = "python-transfers"
FROM_ACCOUNT = SearchAttributeKey.for_keyword("from_account")
TO_ACCOUNT = SearchAttributeKey.for_keyword("to_account")


@dataclass
class Transfer:
    """What a transfer is asked to do. The amount is text, because a floating-point number cannot hold money."""

    from_account: str
    to_account: str
    amount: str
    # How long the first retry of a step waits. Doubles up to ten times as much.
    retry_seconds: float = 1.0


@dataclass
class TransferState:
    status: str = "RUNNING"
    current_step: str | None = None
    completed_steps: list[str] = field(default_factory=list)


class Accounts:
    """The steps of a transfer, which the account API does.

    Each movement carries a key that is the same on every attempt: an attempt that follows a lost answer gets that
    answer, and the money moves once.
    """

    def __init__(self, url: str | None = None, timeout: float = 5.0) -> None:
        self.url = (url or os.environ.get("ACCOUNT_API_URL") or "http://127.0.0.1:5000").rstrip("/")
        self.timeout = timeout

    @activity.defn(name="py_check_balance")
    def check_balance(self, account: str) -> str:
        return str(self._call("GET", account, "", None)["balance"])

    @activity.defn(name="py_withdraw")
    def withdraw(self, account: str, amount: str) -> str:
        return str(self._call("POST", account, "/withdraw", amount)["new_balance"])

    @activity.defn(name="py_deposit")
    def deposit(self, account: str, amount: str) -> str:
        return str(self._call("POST", account, "/deposit", amount)["new_balance"])

    @activity.defn(name="py_refund")
    def refund(self, account: str, amount: str) -> str:
        """Gives money back. It never gives up: the money has left its account and must not stay nowhere."""
        try:
            return str(self._call("POST", account, "/deposit", amount)["new_balance"])
        except ApplicationError as error:
            raise ApplicationError(error.message, type=error.type) from error

    def _call(self, method: str, account: str, path: str, amount: str | None) -> dict:
        info = activity.info()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}",
            "Workflow-Id": info.workflow_id or "", "Run-Id": info.workflow_run_id or "",
            "Activity-Id": info.activity_id,
        }
        body = None if amount is None else f'{{"amount": {money(amount)}}}'.encode()
        request = urllib.request.Request(
            f"{self.url}/accounts/{urllib.parse.quote(account, safe='')}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.load(answer, parse_float=Decimal, parse_int=Decimal)
        except urllib.error.HTTPError as error:
            message = self._reason(error)
            # What the account API says of an account or an amount is final; when it fails, another attempt may succeed.
            final = message is not None and error.code in (400, 404, 410, 413, 422)
            raise ApplicationError(
                message or f"the account API answered {error.code}",
                type="Refused" if final else "AccountAPIUnavailable",
                non_retryable=final) from None
        except OSError as error:
            raise ApplicationError(f"the account API cannot be reached: {error}",
                                   type="AccountAPIUnavailable") from None

    @staticmethod
    def _reason(error: urllib.error.HTTPError) -> str | None:
        try:
            return str(json.load(error)["error"])
        except (ValueError, KeyError, TypeError, OSError):
            return None


def money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ApplicationError(f"{text!r} is no amount", type="Refused", non_retryable=True) from None
    if not amount.is_finite() or amount <= 0 or amount != amount.quantize(Decimal("0.01")):
        raise ApplicationError(f"{text} is no amount in whole cents above zero", type="Refused", non_retryable=True)
    return amount.quantize(Decimal("0.01"))


@workflow.defn(name="PythonTransfer")
class PythonTransfer:
    """Moves money from one account to another, whatever fails on the way."""

    def __init__(self) -> None:
        self.state = TransferState()

    @workflow.run
    async def run(self, transfer: Transfer) -> dict:
        workflow.upsert_search_attributes(
            [FROM_ACCOUNT.value_set(transfer.from_account), TO_ACCOUNT.value_set(transfer.to_account)])
        result = {"success": False, "amount": transfer.amount}
        try:
            result["from_account_starting_balance"] = await self.perform(
                transfer, "check_balance_from", Accounts.check_balance, transfer.from_account)
            result["to_account_starting_balance"] = await self.perform(
                transfer, "check_balance_to", Accounts.check_balance, transfer.to_account)
            await self.perform(transfer, "withdraw", Accounts.withdraw, transfer.from_account, transfer.amount)
            try:
                await self.perform(transfer, "deposit", Accounts.deposit, transfer.to_account, transfer.amount)
            except ActivityError as error:
                workflow.logger.warning("The money goes back to %s: %s", transfer.from_account, error.cause)
                await self.perform(transfer, "refund", Accounts.refund, transfer.from_account, transfer.amount)
                raise
        except ActivityError as error:
            self.state.status = "CANCELED" if is_cancelled_exception(error) else "FAILED"
            if is_cancelled_exception(error):
                raise
            raise ApplicationError(
                str(error.cause or error), result, type="TransferFailed", non_retryable=True) from error
        self.state.status = "COMPLETED"
        return result | {"success": True}

    @workflow.query
    def get_state(self) -> TransferState:
        """Where the transfer stands."""
        return self.state

    async def perform(self, transfer: Transfer, step: str, call, *arguments) -> str:
        """Runs a step's activity through all its attempts. There is no limit to them: what fails for good says so."""
        self.state.current_step = step
        try:
            balance = await workflow.execute_activity(
                call, args=list(arguments), activity_id=step,
                start_to_close_timeout=timedelta(seconds=10), summary=step,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=transfer.retry_seconds),
                    maximum_interval=timedelta(seconds=10 * transfer.retry_seconds)),
                # Money that is on its way arrives or goes back: who cancels waits until a step has ended.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
            self.state.completed_steps.append(step)
            return balance
        finally:
            self.state.current_step = None
