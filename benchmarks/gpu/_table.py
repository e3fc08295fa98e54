"""A report as Markdown, and what of it reached its target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _kernel_rows
import _rows
import _signature_rows
import _warp_rows
from _rows import seconds, size

Model = dict[str, dict[str, Any]]
Judge = Callable[[bool | None], str]
Results = list[dict[str, Any]]


def markdown(report: dict[str, Any], model: Model) -> str:
    """The whole page.

    Parameters
    ----------
    report : dict
        "machine", "dry_run", "steps": name -> {"result", "commit", "seconds"}, and "failed": name -> why.
    model : dict
        By the name of a row: what model.py expects.
    """
    info, steps = report["machine"], report["steps"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    where = f"{info['gpu']}, driver {info['driver']}" if info["gpu"] else "no GPU"
    lines = [f"# {where}, {info['date']}", ""]
    judge: Judge = (lambda reached: "") if report["dry_run"] else _rows.verdict
    if report["dry_run"]:
        lines += [
            "**A dry run: tiny sizes on the CPU, to try the script. No figure here means anything.**",
            "",
        ]
    lines += [
        f"{where}; {info['cpu']}, {info['cores']} cores; Python {info['python']}; "
        f"commit {info['commit']}; {versions}.",
        "Times are medians, by CUDA events unless said; the clock is the median during the measurement.",
        "",
    ]
    for name, write in (
        ("build", _build),
        ("doctor", _doctor),
        ("smoke", _smoke),
        ("tests", _tests),
        ("sanitize", _sanitize),
        ("pairwise", _pairwise),
        ("training", _training),
        ("second", _second),
        ("signatures", _signatures),
        ("kernels", _kernels),
        ("warps", _warps),
        ("long", _long),
        ("transfer", _transfer),
        ("first", _first),
        ("threshold", _threshold),
    ):
        if name in steps:
            step = steps[name]
            note = "" if step["commit"] == info["commit"] else f" (commit {step['commit']})"
            lines += [f"## {name}{note}", "", *write(step["result"], model, judge), ""]
    for name, why in report.get("failed", {}).items():
        lines += [f"## {name}: not done", "", "```", why, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    return _rows.table(heads, rows, words=heads)


def _skipped(results: Results) -> list[str]:
    notes = [f"* {result['name']}: {result['skipped']}" for result in results if "skipped" in result]
    return ["", *notes] if notes else []


def _measured(results: Results) -> Results:
    return [result for result in results if "skipped" not in result]


def _build(result: Any, model: Model, judge: Judge) -> list[str]:
    if result["built"]:
        return [f"Built without network in {seconds(result['seconds'])}."]
    return ["**It could not be built.**", "", "```", result["log"], "```"]


def _doctor(result: Any, model: Model, judge: Judge) -> list[str]:
    return ["```", result["report"].rstrip(), "```"]


def _smoke(results: Results, model: Model, judge: Judge) -> list[str]:
    """What is wrong, and how far off the rest is at most."""
    measured = _measured(results)
    wrong = [result for result in measured if not result["close"]]
    lines = [f"{len(results)} calls of all kernels at small sizes, {len(wrong)} unlike the CPU's."]
    for kind in ("float32", "float64"):
        worst = [result["worst"] for result in measured if result["close"] and kind in result["name"]]
        lines += [f"Largest difference in {kind} among the others: {max(worst):.1e}."] if worst else []
    lines += [f"* **wrong**: {result['name']}: {result['worst']:.1e}" for result in wrong]
    return lines + _skipped(results)


def _tests(result: Any, model: Model, judge: Judge) -> list[str]:
    """By files: sums, and what failed."""
    files = result["files"]
    counts = ", ".join(
        f"{sum(found[key] for found in files.values())} {key}"
        for key in ("passed", "failed", "errors", "skipped")
    )
    state = f" **Not come to: {', '.join(result['not_run'])}.**" if result["not_run"] else ""
    lines = [f"`{result['command']}`: {counts} in {len(files)} files, {seconds(result['seconds'])}.{state}"]
    for found in files.values():
        lines += [f"* {failure}" for failure in found["failures"][:50]]
    return lines


def _sanitize(result: Any, model: Model, judge: Judge) -> list[str]:
    rows = [
        [tool, found["summary"], seconds(found["seconds"]), judge(found["clean"])]
        for tool, found in result.items()
    ]
    return _table(["compute-sanitizer", "summary", "time", "clean"], rows)


def _clock(result: dict[str, Any]) -> str:
    return f"{result['clock_mhz']:.0f} MHz" if result.get("clock_mhz") else ""


def _pairwise(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        expected = model.get(result["name"])
        least = _rows.LEAST_RATE.get(result["name"])
        rate = result["cells_per_s"]
        rows.append(
            [
                result["title"],
                result["input"],
                seconds(result["device_s"]),
                seconds(result["kernels"]["all"]) if result["kernels"] else "",
                f"{rate / 1e12:.3g}",
                f"{expected['cells'] / expected['seconds'] / 1e12:.3g}" if expected else "",
                _rows.TARGETS.get(result["name"], ""),
                judge(None if least is None else rate >= least),
                "yes" if result["repeated"] else "**no**",
                _clock(result),
            ]
        )
    heads = ["all pairs", "input", "time", "kernels", "10¹² cells/s", "roofline (model)"]
    heads += ["must reach", "reached", "same bits again", "clock"]
    return _table(heads, rows) + _skipped(results)


def _mode(result: dict[str, Any]) -> tuple[float | None, int | None]:
    """Time and memory of a mode of the peer."""
    if "skipped" in result:
        return None, None
    return result["device_s"], result["peak"]["allocated"]


def training_verdict(result: dict[str, Any]) -> dict[str, Any]:
    """Ratios of a row of the grid, and whether they are what they must be."""
    ours = result["ours"]
    modes = [_mode(result[mode]) for mode in ("unfused", "fused")]
    times = [time for time, _ in modes if time is not None]
    peaks = [peak for _, peak in modes if peak]
    speed = min(times) / ours["device_s"] if times else None
    memory = (
        ours["peak"]["allocated"] / min(peaks) if peaks and ours["peak"]["allocated"] is not None else None
    )
    most = _rows.MOST_SECONDS.get(result["name"])
    checks = [
        None if speed is None else speed >= _rows.least_ratio(result["name"]),
        None if memory is None else memory <= _rows.MOST_OF_PEER_BYTES,
        None if most is None else ours["device_s"] <= most,
    ]
    known = [check for check in checks if check is not None]
    return {"speed": speed, "memory": memory, "reached": all(known) if known else None}


def _training(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        found, ours = training_verdict(result), result["ours"]
        expected = model.get(result["name"])
        must = f"{_rows.least_ratio(result['name']):.0f} ×, half the memory"
        if result["name"] in _rows.TARGETS:
            must += f", {_rows.TARGETS[result['name']]}"
        unfused, fused = (_mode(result[mode]) for mode in ("unfused", "fused"))
        rows.append(
            [
                result["title"],
                result["input"],
                seconds(ours["device_s"]),
                seconds(ours["kernels"]["all"]) if ours["kernels"] else "",
                seconds(expected["seconds"]) if expected else "",
                seconds(unfused[0]),
                seconds(fused[0]),
                f"{found['speed']:.3g}" if found["speed"] else "",
                size(ours["peak"]["allocated"]),
                size(ours["peak"]["reserved"]),
                size(unfused[1]),
                size(fused[1]),
                f"{found['memory']:.2f}" if found["memory"] else "",
                must,
                judge(found["reached"]),
            ]
        )
    heads = [
        "value and both gradients",
        "input",
        "ours",
        "kernels",
        "model",
        "theirs, unfused",
        "theirs, fused",
    ]
    heads += ["times faster than the faster", "our peak", "reserved", "theirs, unfused", "theirs, fused"]
    heads += ["of the leaner", "must reach", "reached"]
    why = sorted(
        {
            f"* SoftDTW-CUDA-Torch, {mode}: {result[mode]['skipped']}"
            for result in _measured(results)
            for mode in ("unfused", "fused")
            if "skipped" in result[mode]
        }
    )
    differences = [
        result[mode]["difference"]
        for result in _measured(results)
        for mode in ("unfused", "fused")
        if result[mode].get("difference") is not None
    ]
    if differences:
        why += [f"* largest difference of theirs from ours in double on the CPU: {max(differences):.1e}"]
    return _table(heads, rows) + _skipped(results) + (["", *why] if why else [])


def _second(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = [
        [
            result["title"],
            result["input"],
            seconds(result["device_s"]),
            seconds(result["kernels"]["all"]) if result["kernels"] else "",
            size(result["peak"]["allocated"]),
            size(result["peak"]["reserved"]),
            "yes" if result["repeated"] else "**no**",
            _clock(result),
        ]
        for result in _measured(results)
    ]
    heads = [
        "second derivatives",
        "input",
        "time",
        "kernels",
        "peak memory",
        "reserved",
        "same bits again",
        "clock",
    ]
    return _table(heads, rows) + _skipped(results)


def _signatures(results: Results, model: Model, judge: Judge) -> list[str]:
    heads, *rows = _signature_rows.table(_measured(results), model, judge)
    return _table(heads, rows) + _skipped(results)


def _kernels(results: Results, model: Model, judge: Judge) -> list[str]:
    heads, *rows = _kernel_rows.table(_measured(results), model)
    return _table(heads, rows) + _skipped(results)


def _warps(results: Results, model: Model, judge: Judge) -> list[str]:
    heads, *rows = _warp_rows.table(_measured(results), model, judge)
    return _table(heads, rows) + _skipped(results)


def _long(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        peak = result["peak"]["allocated"]
        rows.append(
            [
                result["title"],
                seconds(result["device_s"]),
                seconds(model[result["name"]]["seconds"]) if result["name"] in model else "",
                size(peak),
                size(result["peak"]["reserved"]),
                _rows.TARGETS["long"],
                judge(None if peak is None else peak <= _rows.MOST_LONG_BYTES),
                _clock(result),
            ]
        )
    heads = ["pair", "time", "model", "peak memory", "reserved", "must reach", "reached", "clock"]
    return _table(heads, rows) + _skipped(results)


def _transfer(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        ratio = result["ratio"]
        rows.append(
            [
                result["title"],
                seconds(result["wall_s"]),
                seconds(result["kernels"]["all"]) if result["kernels"] else "",
                f"{ratio:.3f}" if ratio else "",
                _rows.TARGETS["transfer"],
                judge(None if ratio is None else ratio <= _rows.MOST_OF_KERNELS),
                _clock(result),
            ]
        )
    heads = ["matrix", "time on the wall", "kernels", "ratio", "must reach", "reached", "clock"]
    return _table(heads, rows) + _skipped(results)


def _first(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        for state, most in _rows.MOST_FIRST_CALL.items():
            times = result[state]
            rows.append(
                [
                    result["name"],
                    state,
                    seconds(times["start"]),
                    seconds(times["import"]),
                    seconds(times["call"]),
                    f"≤ {seconds(most)}",
                    judge(times["call"] <= most),
                ]
            )
    heads = ["first call", "cache", "torch's start", "import of the package", "call", "must reach", "reached"]
    return _table(heads, rows) + _skipped(results)


def _threshold(results: Results, model: Model, judge: Judge) -> list[str]:
    rows = []
    for result in _measured(results):
        one, every = result["above_one_thread"], result["above_all_threads"]
        rows.append(
            [
                result["name"],
                "never" if one is None else f"{one:.2g}",
                "never" if every is None else f"{every:.2g}",
                f"{result['cpu_work_per_s']:.2g}",
            ]
        )
    heads = ["work: cells × features", "GPU faster than one thread above", "than all threads above"]
    heads += ["CPU's work a second, one thread"]
    lines = _table(heads, rows)
    above = [result["above_one_thread"] for result in _measured(results)]
    if above and None not in above:
        lines += [
            "",
            f"`LEAST_GPU_WORK` in `cuda_ext/__init__.py`: {max(above):.1g}, the largest of the first.",
        ]
    return lines + _skipped(results)
