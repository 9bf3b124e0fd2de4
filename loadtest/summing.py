"""From what a run saw to its report. Pure."""

from headrace.costs.billing import bill
from headrace.costs.prices import load_prices
from headrace.metering import spent
from loadtest.histograms import figures, merged
from loadtest.phases import VOID_SHARE, late_share
from loadtest.report import GeneratorReport, Report, Window, machine, versions
from loadtest.run import Ran
from loadtest.wanted import Wanted


def summed(ran: Ran, wanted: Wanted) -> Report:
    """The report, faults included."""
    accepted = sum(each.accepted for each in ran.done)
    window = _window(ran)
    whole = max(0.001, window.projected - window.began)
    used = spent(ran.before, ran.after)
    billed = bill(used.usage, wanted.prices or load_prices(), accepted)
    verdict = ran.verdict
    latencies = {name: figures(merged([each.latency.get(name, "") for each in ran.done])) for name in ("accepted", "applied", "visible")}
    if wanted.shape.read:
        latencies["read"] = figures(merged([each.latency.get("read", "") for each in ran.done]))
    last = max((each.last_accepted for each in ran.done), default=0.0)
    report = Report(
        backend=ran.backend,
        posted=sum(each.posted for each in ran.done),
        accepted=accepted,
        refused=sum(each.refused for each in ran.done),
        applied=verdict.applied,
        rejected=verdict.rejected,
        failed=verdict.failed,
        projected=verdict.projected,
        unconfirmed=verdict.unconfirmed,
        accepted_per_s=round(accepted / max(0.001, last - window.began), 1),
        appended_per_s=round(verdict.applied / whole, 1),
        projected_per_s=round(verdict.projected / whole, 1),
        latency_ms=latencies,
        requests_per_1000_commands=round(sum(used.requests.values()) * 1000 / max(1, accepted), 2),
        requests=used.requests,
        cpu_ms_per_command=round(sum(used.cpu_ms.values()) / max(1, accepted), 4),
        cpu_ms=used.cpu_ms,
        peak_rss_mb=used.peak_rss_mb,
        dollars_per_million=billed.per_million.total,
        audit=ran.findings,
        requests_by_call_per_1000={call: round(count * 1000 / max(1, accepted), 2) for call, count in used.requests.items()},
        requests_by_role=used.requests_by_role,
        dollars={
            "sqs": billed.sqs, "sns": billed.sns, "dynamodb": billed.dynamodb, "streams": billed.streams,
            "total": billed.total, "as_run": billed.as_run, "floor": billed.floor,
        },
        versions=versions(),
        machine=machine(),
        window=window,
        generator=_generator(ran, accepted),
        reads=sum(each.reads for each in ran.done),
        repeats=sum(each.repeats for each in ran.done),
        errors=_errors(ran),
    )  # fmt: skip
    report.faults = _faults(ran, report)
    return report


def _window(ran: Ran) -> Window:
    began, ended = min(each.began for each in ran.done), max(each.ended for each in ran.done)
    projected = ran.projected_at or ran.series.ended
    return Window(began, ended, projected, round(ended - began, 3), round(max(0.0, projected - ended), 3), ran.rates)


def _generator(ran: Ran, accepted: int) -> GeneratorReport:
    cpu = sum(each.cpu_ms for each in ran.done)
    late = late_share(ran.done)
    asked = sum(each.posted + each.unanswered + each.reads for each in ran.done)
    seconds = max(each.ended for each in ran.done) - min(each.began for each in ran.done)
    return GeneratorReport(
        processes=ran.processes,
        cpu_ms=round(cpu, 1),
        cpu_ms_per_command=round(cpu / max(1, accepted), 4),
        late_share=round(late, 5),
        asked_per_s=round(asked / max(0.001, seconds), 1),
        void=late > VOID_SHARE,
    )


def _errors(ran: Ran) -> dict[str, int]:
    found: dict[str, int] = {}
    for done in ran.done:
        for code, count in done.errors.items():
            found[code] = found.get(code, 0) + count
    return found


def _faults(ran: Ran, report: Report) -> list[str]:
    faults = [fault for done in ran.done for fault in done.faults] + list(ran.verdict.faults)
    faults += [f"{each.invariant} {each.stream}: {each.detail}" for each in ran.findings.differences]
    unanswered = sum(done.unanswered for done in ran.done)
    if unanswered:
        faults.append(f"{unanswered} commands got no answer")
    if ran.projected_at is None:
        faults.append("the projectors did not catch up")
    if report.projected != report.applied:
        faults.append(f"{report.applied} commands were applied, {report.projected} of them projected")
    if report.failed:
        faults.append(f"{report.failed} commands failed")
    if report.generator is not None and report.generator.void:
        faults.append(f"void: the generator itself was late with {report.generator.late_share:.1%} of the posts")
    return faults
